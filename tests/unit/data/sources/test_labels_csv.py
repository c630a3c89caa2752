"""Label tables as people write them: understood and told, or refused with what differs."""

import pickle
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymoco.config import DataConfig
from raymoco.data.codec import encode_png
from raymoco.data.shards.ensure import ensure_shards, shards_folder
from raymoco.data.sources.open import open_source
from raymoco.errors import ConfigError, DataError
from tests.people_folders import people_folder

FILES = ("a/0.png", "a/1.png", "b/2.png")


def folder(root: Path, table: str | bytes, files=FILES, name: str = "labels.csv") -> Path:
    """A folder of images and a table."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.frombuffer(file.encode().ljust(4 * 30, b"\0"), np.uint8).reshape(4, -1)
        (root / file).write_bytes(encode_png(pixels))  # no two images are alike
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(table.encode() if isinstance(table, str) else table)
    return root


def labels(root: Path, **keys) -> dict[str, str | None]:
    """The class of every image by its id."""
    source = opened(root, **keys)
    return {
        entry.id: None if entry.label is None else source.classes[entry.label]
        for entry in source.entries()
    }


def opened(root: Path, **keys):
    return open_source(DataConfig(source="folder", root=str(root), **keys))


def told(root: Path, **keys) -> str:
    """What the source says, once it has been listed."""
    source = opened(root, **keys)
    list(source.entries())
    return "\n".join(remark.line() for remark in source.account().remarks())


@pytest.mark.parametrize(
    "word",
    [
        *("-1", "-1.0", "nan", "NaN", "None", "NA", "N/A", "null", "?", "unlabelled"),
        *("-", "--", "nil", "n.a.", "NaT", "missing", "undefined"),
    ],
)
def test_a_word_for_no_label_is_no_class_and_is_told(tmp_path, word):
    root = folder(tmp_path, f"name,label\na/0.png,x\na/1.png,y\nb/2.png,{word}\n")
    assert labels(root) == {"a/0.png": "x", "a/1.png": "y", "b/2.png": None}
    assert f"read as none: 1 '{word}'" in told(root)


def test_an_empty_label_is_none_and_nothing_to_tell(tmp_path):
    root = folder(tmp_path, 'name,label\na/0.png,x\na/1.png,""\nb/2.png,\n')
    assert labels(root) == {"a/0.png": "x", "a/1.png": None, "b/2.png": None}
    assert told(root) == ""


def test_where_minus_one_may_be_a_class_it_is_said_what_to_do(tmp_path):
    root = folder(tmp_path, "name,label\na/0.png,-1\na/1.png,1\nb/2.png,1\n")
    assert "only the class 1 is left: write both in words" in told(root)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_encodings_and_line_ends_make_no_difference(tmp_path, mark, encoding, end):
    lines = ["name,label", '"a/0.png", große Katze', "a/1.png,y", ""]
    text = end.join(lines).replace(",", mark)
    root = folder(tmp_path, text.encode(encoding))
    assert labels(root) == {"a/0.png": "große Katze", "a/1.png": "y", "b/2.png": None}


def test_excels_first_line_names_the_separator(tmp_path):
    assert labels(folder(tmp_path, "sep=;\nname;label\na/0.png;x\n"))["a/0.png"] == "x"


def test_a_table_in_latin_1_is_refused_with_the_cure(tmp_path):
    root = folder(tmp_path, "name,label\na/0.png,é\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"labels.csv: .* no UTF-8 \(the byte 0xe9\).*iconv -f"):
        opened(root)


def test_a_table_without_a_header_is_read_and_told(tmp_path):
    root = folder(tmp_path, "a/0.png,x\na/1.png,y\n")
    assert labels(root) == {"a/0.png": "x", "a/1.png": "y", "b/2.png": None}
    assert "has no header" in told(root)


def test_an_unquoted_separator_in_a_name_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"labels.csv:2: has 3 values, but there are 2 columns"):
        opened(folder(tmp_path, "name,label\na/0,1.png,x\n"))


SLASHES = "backslashes, ./ or the whole path"
OWN_NAME = "the folder's own name at the beginning"


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("a\\0.png", SLASHES),
        (".\\a\\0.png", SLASHES),
        ("a/./0.png", SLASHES),
        ("{root}/a/0.png", SLASHES),
        ("file://{root}/a/0.png", SLASHES),
        ("pets/a/0.png", OWN_NAME),
        ("/elsewhere/pets/a/0.png", OWN_NAME),
        ("../pets/a/0.png", OWN_NAME),
        ("C:\\Users\\me\\pets\\a\\0.png", OWN_NAME),
        ("A/0.PNG", "upper and lower case, or spaces"),
        ("0.png", "the missing folder"),
        ("a/0", "the missing suffix"),
        ("0", "the missing folder and suffix"),
        ("/content/data/a/0.png", "a path of another machine"),
    ],
)
def test_a_name_that_means_one_file_only_is_matched_and_told(tmp_path, written, reason):
    root = tmp_path / "pets"
    folder(root, f"name,label\n{written.format(root=root)},x\nb/2.png,y\n")
    assert labels(root) == {"a/0.png": "x", "a/1.png": None, "b/2.png": "y"}
    assert f"1 of the names in labels.csv matched in spite of {reason} (" in told(root)


@pytest.mark.parametrize(("there", "written"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_match_in_both_unicode_forms(tmp_path, there, written):
    file = unicodedata.normalize(there, "é/ü.png")
    name = unicodedata.normalize(written, "é/ü.png")
    root = folder(tmp_path, f"name,label\n{name},x\n", files=[file])
    assert labels(root) == {file: "x"}
    assert "another Unicode form" in told(root)


def test_a_file_that_is_called_exactly_so_comes_before_any_guess(tmp_path):
    files = ["pets/a.png", "a.png", "A.png"]
    root = folder(tmp_path / "pets", "name,label\npets/a.png,x\nA.png,y\na.png,z\n", files)
    assert labels(root) == {"pets/a.png": "x", "A.png": "y", "a.png": "z"}
    assert told(root) == ""


def test_a_name_that_two_files_could_have_is_refused_with_both(tmp_path):
    root = folder(tmp_path, "name,label\n1.png,x\n", files=["x/1.png", "y/1.png"])
    with pytest.raises(DataError, match=r"'1.png' could be 'x/1.png' or 'y/1.png'"):
        labels(root)


def test_names_without_a_file_are_counted_and_shown_beside_the_nearest(tmp_path):
    root = folder(tmp_path, "name,label\na/0.jpg,x\na/77.jpg,x\nb/2.png,x\n")
    with pytest.raises(DataError, match=r"2 of its 3 names .* nearest file is 'a/0.png'"):
        labels(root)


def test_rows_that_say_the_same_twice_are_counted_and_others_refused(tmp_path):
    root = folder(tmp_path, "name,label\na/0.png,x\na/0.png,x\na\\0.png,x\n")
    assert labels(root)["a/0.png"] == "x"
    assert "rows of labels.csv that repeat another: 1" in told(root)
    folder(root, "name,label\na/0.png,x\na/0.png,y\n")
    with pytest.raises(DataError, match=r"a/0.png is listed twice .* 'x' and the label 'y'"):
        labels(root)
    folder(root, "name,label\na/0.png,x\na\\0.png,y\n")
    with pytest.raises(DataError, match=r"labels.csv:3: 'a\\0.png' has the file of 'a/0.png'"):
        labels(root)


@pytest.mark.parametrize(
    "header", ["name,label", "filename,class", "Image ID,dx", "path,target", "file,Category"]
)
def test_usual_headers_are_understood(tmp_path, header):
    root = folder(tmp_path, f"{header}\na/0.png,x\na/1.png,y\n")
    assert labels(root)["a/1.png"] == "y"
    assert ("names are read in the column" in told(root)) == (header != "name,label")


def test_a_column_with_names_of_files_is_told_from_one_of_numbers(tmp_path):
    root = folder(tmp_path, "id,name,image,class\n7,Ann,a/0.png,x\n8,Bo,a/1.png,y\n")
    assert labels(root) == {"a/0.png": "x", "a/1.png": "y", "b/2.png": None}
    assert "names are read in the column 'image', labels in 'class'; not used: id, name" in told(
        root
    )


def test_two_columns_that_could_hold_labels_are_refused_until_one_is_named(tmp_path):
    root = folder(tmp_path, "image,target,class\na/0.png,1,x\n")
    with pytest.raises(DataError, match=r"'target' and 'class' may both .*data.columns.label="):
        opened(root)
    assert labels(root, columns={"label": "class"})["a/0.png"] == "x"
    with pytest.raises(DataError, match=r"no column 'cls', .* it has image, target, class"):
        opened(root, columns={"label": "cls"})


def test_a_column_for_each_class_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"a column for each class \(mel, nv, bcc, ...\)"):
        opened(folder(tmp_path, "image,mel,nv,bcc\na/0,1.0,0.0,0\na/1,0,1,0\n"))


def test_numbers_keep_their_names_with_gaps_and_without_a_decimal_point(tmp_path):
    root = folder(tmp_path, "name,label\na/0.png,10.0\na/1.png,1000000000\nb/2.png,\n")
    assert opened(root).classes == ("10", "1000000000")
    assert "such as 1.0 in labels.csv are the class 1" in told(root)
    assert "numbers with gaps: 2 classes of the names 10, 1000000000" in told(root)
    with pytest.raises(DataError, match=r"the column 'label' holds 0.5, but must hold text"):
        opened(folder(tmp_path, "name,label\na/0.png,0.5\na/1.png,2\n"))


@pytest.mark.parametrize("others", [("0", "1"), ("cat", "dog")])
@pytest.mark.parametrize("code", ["-2", "-99.0"])
def test_a_number_below_minus_one_is_no_class(tmp_path, others, code):
    rows = f"a/0.png,{others[0]}\na/1.png,{others[1]}\nb/2.png,{code}\n"
    with pytest.raises(DataError, match=rf"'label' holds {code}, but must hold text, or whole"):
        opened(folder(tmp_path, f"name,label\n{rows}"))


def test_classes_that_differ_in_case_only_are_told(tmp_path):
    root = folder(tmp_path, "name,label\na/0.png,Cat\na/1.png,cat \n")
    assert "'Cat' and 'cat' in labels.csv are two classes" in told(root)


def test_splits_go_by_the_usual_words(tmp_path):
    root = folder(tmp_path, "name,label,Split\na/0.png,x,Training\na/1.png,x,VAL\nb/2.png,x,\n")
    found = {entry.id: entry.split for entry in opened(root).entries()}
    assert (found["a/0.png"], found["a/1.png"]) == ("train", "test")


def test_validation_beside_a_test_set_is_the_eval_split(tmp_path):
    root = folder(tmp_path, "name,label,split\na/0.png,x,Holdout\na/1.png,x,val\nb/2.png,x,train\n")
    found = {entry.id: entry.split for entry in opened(root).entries()}
    assert found == {"a/0.png": "test", "a/1.png": "eval", "b/2.png": "train"}


def test_a_table_anywhere_is_named_by_the_config_and_comes_before_labels_csv(tmp_path, monkeypatch):
    root = folder(tmp_path / "in", "name,label\na/0.png,old\n")
    folder(root, "name,label\na/0.png,inside\n", (), "more/mine.tsv")
    monkeypatch.chdir(tmp_path)
    assert labels(root, labels_csv="more/mine.tsv")["a/0.png"] == "inside"  # below the root
    folder(tmp_path, "name\tlabel\na/0.png\toutside\n", (), "more/mine.tsv")
    assert labels(root, labels_csv="more/mine.tsv")["a/0.png"] == "outside"
    with pytest.raises(DataError, match=r"data.labels_csv is 'no.csv', but .* nor is .*in/no.csv"):
        opened(root, labels_csv="no.csv")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_every_kind_of_table_says_the_same(tmp_path, suffix):
    root = folder(tmp_path / "in", "", name="unused.txt")
    table = tmp_path / f"table.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({"file_name": ["a/0.png", "a/1.png"], "label": [3, None]}), table)
    elif suffix == "jsonl":
        table.write_text(
            '{"file_name": "a/0.png", "label": 3}\n\n{"label": null, "file_name": "a/1.png"}\n'
        )
    else:
        mark = "," if suffix == "csv" else "\t"
        table.write_text(f"file_name{mark}label\na/0.png{mark}3\na/1.png{mark}\n")
    assert labels(root, labels_csv=str(table)) == {
        "a/0.png": "3",
        "a/1.png": None,
        "b/2.png": None,
    }


def test_another_table_is_another_folder_of_shards_and_a_change_is_noticed(tmp_path):
    files = [f"a/{i}.png" for i in range(60)]
    rows = "".join(f"{file},{i % 2}\n" for i, file in enumerate(files))
    root = folder(tmp_path / "in", "", files, name="notes.txt")
    table = folder(tmp_path, f"name,label\n{rows}", (), "mine.csv") / "mine.csv"
    plain = DataConfig(source="folder", root=str(root))
    data = plain.model_copy(update={"labels_csv": str(table)})
    assert shards_folder(plain, tmp_path) != shards_folder(data, tmp_path)
    assert ensure_shards(data, tmp_path).manifest.classes == ("0", "1")
    table.write_text(f"name,label\n{rows}".replace(",0", ",2"))
    with pytest.raises(DataError, match="has changed since"):
        ensure_shards(data, tmp_path)


def test_hugging_faces_metadata_is_read_natively(tmp_path):
    root = folder(
        tmp_path, "file_name,label\ntrain/0.png,x\ntest/1.png,y\n", (), name="metadata.csv"
    )
    folder(root, "", ["train/0.png", "test/1.png"], "README.md")
    found = {entry.id: entry.split for entry in opened(root).entries()}
    assert found == {"train/0.png": "train", "test/1.png": "test"}
    assert labels(root) == {"train/0.png": "x", "test/1.png": "y"}


def test_metadata_in_split_folders_names_the_images_beside_it(tmp_path):
    root = folder(tmp_path, '{"file_name": "0.png", "label": 1}\n', (), "train/metadata.jsonl")
    folder(root, "label,file_name\n0,0.png\n", ["train/0.png", "validation/0.png"], "validation/m")
    (root / "validation" / "m").rename(root / "validation" / "metadata.csv")
    assert labels(root) == {"train/0.png": "1", "validation/0.png": "0"}
    found = {entry.id: entry.split for entry in opened(root).entries()}
    assert found == {"train/0.png": "train", "validation/0.png": "test"}
    folder(root, "label,file_name\n1,0.png\n", ["test/0.png"], "test/m")
    (root / "test" / "m").rename(root / "test" / "metadata.csv")
    found = {entry.id: entry.split for entry in opened(root).entries()}
    assert found == {"train/0.png": "train", "validation/0.png": "eval", "test/0.png": "test"}


def test_metadata_without_classes_is_told_and_not_used(tmp_path):
    root = folder(tmp_path, "file_name,text\na/0.png,a cat\n", name="metadata.csv")
    assert labels(root) == {"a/0.png": "a", "a/1.png": "a", "b/2.png": "b"}
    assert "metadata.csv has no labels (file_name, text): it is not used" in told(root)
    folder(root, '{"file_name": "a/0.png", "label": [1, 2]}\n', name="metadata.jsonl")
    (root / "metadata.csv").unlink()
    with pytest.raises(DataError, match=r"the column 'label' holds a list, such as \[1, 2\]"):
        opened(root)


def test_captions_are_no_labels_even_where_they_are_the_only_other_column(tmp_path):
    root = folder(tmp_path, "file_name,text\na/0.png,a cat\n")
    with pytest.raises(DataError, match=r"has the columns file_name, text, but must have"):
        opened(root)
    folder(root, "photo of,kind\na/0.png,x\n")
    with pytest.raises(DataError, match=r"say which: data.columns.image=photo of"):
        opened(root)
    folder(root, "image,kind of pet\na/0.png,x\n")
    assert labels(root)["a/0.png"] == "x"
    assert "labels in 'kind of pet'" in told(root)


def test_what_was_matched_is_so_in_every_process(tmp_path):
    source = opened(folder(tmp_path, "name,label\na\\0.png,x\n"))
    list(source.entries())
    other = pickle.loads(pickle.dumps(source))
    assert list(other.entries()) == list(source.entries())
    assert other.account().remarks() == source.account().remarks()


def test_a_table_for_a_source_that_reads_none_is_refused():
    with pytest.raises(ConfigError, match=r"data.source digits has its labels elsewhere; folder"):
        open_source(DataConfig(labels_csv="labels.csv"))


def test_images_that_the_table_does_not_list_are_counted(tmp_path):
    rows = "name,label\n" + "".join(f"cats/{n}.png,{n % 3}\n" for n in range(20))
    said = told(people_folder(tmp_path, {"cats": 20, "dogs": 20, "labels.csv": rows}))
    assert "20 that the table of labels does not list" in said
    assert "have no label, whatever their folder (dogs/0.png" in said
