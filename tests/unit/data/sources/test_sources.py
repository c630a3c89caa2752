"""Sources yield the images that their files hold, and say clearly what is wrong with the files."""

import gzip
import os
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymoco.config import DataConfig
from raymoco.data.codec import decode, decode_to, encode_png
from raymoco.data.loading.prepare import load_images
from raymoco.data.shards.ensure import build_shards
from raymoco.data.sources.fashion_mnist import FASHION_MNIST_ROOT
from raymoco.data.sources.open import open_source
from raymoco.errors import ConfigError, DataError


def opened(name: str, root: Path):
    return open_source(DataConfig(source=name, root=str(root)))


def images_of(source) -> list[tuple]:
    """Entries, each with its image as it is found, in the order of ids."""
    entries = sorted(source.entries(), key=lambda entry: entry.id)
    # read backwards: a shard's images come in another order than they lie in
    found = list(source.read([entry.place for entry in reversed(entries)]))[::-1]
    return list(zip(entries, found, strict=True))


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_fashion(root: Path, suffix: str = "", train: int = 30, test: int = 10) -> np.ndarray:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
    parts = {"train": slice(0, train), "t10k": slice(train, None)}
    for prefix, part in parts.items():
        write_idx(root / f"{prefix}-images-idx3-ubyte{suffix}", images[part])
        write_idx(root / f"{prefix}-labels-idx1-ubyte{suffix}", np.arange(len(images))[part] % 10)
    return images


def write_image(path: Path, value: int = 0, size: tuple[int, int] = (9, 9)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.full(size, value, np.uint8)))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_come_back_pixel_by_pixel(tmp_path, suffix):
    images = write_fashion(tmp_path, suffix)
    source = opened("fashion_mnist", tmp_path)
    entries = list(source.entries())
    assert [entry.split for entry in entries] == ["train"] * 30 + ["test"] * 10
    assert [entry.label for entry in entries] == [i % 10 for i in range(40)]
    assert len({entry.id for entry in entries}) == 40
    found = source.read([entry.place for entry in entries])
    assert all((one == image).all() for one, image in zip(found, images, strict=True))


def test_a_cut_off_idx_file_is_named(tmp_path):
    write_fashion(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-5])
    source = open_source(DataConfig(source="fashion_mnist", root=str(tmp_path)))
    with pytest.raises(DataError, match=f"{file}: has .* bytes of data"):
        list(source.entries())


def test_idx_files_of_other_dimensions_are_refused(tmp_path):
    write_fashion(tmp_path)
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((30, 28)))
    source = open_source(DataConfig(source="fashion_mnist", root=str(tmp_path)))
    with pytest.raises(DataError, match="is not an IDX file of unsigned bytes in 3 dimensions"):
        list(source.entries())


def test_missing_idx_files_are_named_with_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\[.gz\].*dataset-fashion-mnist"):
        open_source(DataConfig(source="fashion_mnist", root=str(tmp_path)))


@pytest.mark.skipif(not FASHION_MNIST_ROOT.is_dir(), reason="dataset-fashion-mnist not installed")
def test_the_real_fashion_mnist_is_found_by_itself():
    source = open_source(DataConfig(source="fashion_mnist"))
    entries = list(source.entries())
    assert [sum(e.split == split for e in entries) for split in ("train", "test")] == [60000, 10000]
    first = entries[0]
    assert (first.id, first.label, first.split) == ("train/00000", 9, "train")
    pixels = next(source.read([first.place]))
    assert pixels.shape == (28, 28)
    assert 50 < pixels.mean() < 150


def test_a_fifth_of_digits_is_the_test_set_and_stays_it(tmp_path):
    source = open_source(DataConfig())
    assert {entry.split for entry in source.entries()} == {None}
    shards = build_shards(source, tmp_path / "out")
    # a hash decides: these numbers must never change
    assert [shards.rows(split) for split in ("train", "eval", "test")] == [1288, 148, 361]


def test_class_folders_become_labels_in_sorted_order(tmp_path):
    for name in ("zebra", "ant", "cow/nested"):
        for i in range(20):
            write_image(tmp_path / name / f"{i}.png", i)
    write_image(tmp_path / "unlabelled" / "x.png")
    (tmp_path / "ant" / ".DS_Store").write_text("hidden")
    source = open_source(DataConfig(source="folder", root=str(tmp_path)))
    records = {entry.id: entry for entry in source.entries()}
    assert source.classes == ("ant", "cow", "zebra")
    assert len(records) == 61
    assert records["ant/3.png"].label == 0
    assert records["cow/nested/3.png"].label == 1
    assert records["unlabelled/x.png"].label is None
    assert records["unlabelled/x.png"].split == "train"
    assert {record.split for record in records.values()} == {"train", None}


def test_train_and_test_folders_are_the_splits(tmp_path):
    for split in ("train", "test"):
        for name in ("a", "b"):
            write_image(tmp_path / split / name / "0.png")
    write_image(tmp_path / "train" / "unlabelled" / "u.png")
    source = open_source(DataConfig(source="folder", root=str(tmp_path)))
    found = {entry.id: (entry.split, entry.label) for entry in source.entries()}
    assert source.classes == ("a", "b")
    assert found["test/b/0.png"] == ("test", 1)
    assert found["train/unlabelled/u.png"] == ("train", None)


def test_a_class_that_only_the_test_folder_has_is_refused(tmp_path):
    write_image(tmp_path / "train" / "a" / "0.png")
    write_image(tmp_path / "test" / "b" / "0.png")
    with pytest.raises(DataError, match=r"the class 'b' has no folder in train/"):
        open_source(DataConfig(source="folder", root=str(tmp_path)))


@pytest.mark.parametrize("make", [False, True])
def test_a_missing_or_empty_folder_says_what_is_expected(tmp_path, make):
    root = tmp_path / "pictures"
    if make:
        root.mkdir()
    with pytest.raises(DataError, match=f"{root}: .*Expected is {root}/CLASS/IMAGE"):
        open_source(DataConfig(source="folder", root=str(root)))


def labels_of(source) -> dict[str, tuple[int | None, str | None]]:
    return {entry.id: (entry.label, entry.split) for entry in source.entries()}


def test_val_is_a_test_set_and_train_alone_is_split_by_hash(tmp_path):
    for i in range(30):
        write_image(tmp_path / "train" / "a" / f"{i}.png")
    assert opened("folder", tmp_path).classes == ("a",)
    # None: the plan decides
    assert {split for _, split in labels_of(opened("folder", tmp_path)).values()} == {None}
    write_image(tmp_path / "val" / "a" / "x.png")
    found = labels_of(opened("folder", tmp_path))
    assert [name for name, (_, split) in found.items() if split == "test"] == ["val/a/x.png"]
    write_image(tmp_path / "test" / "a" / "x.png")
    found = labels_of(opened("folder", tmp_path))
    assert found["test/a/x.png"] == (0, "test")
    assert found["val/a/x.png"] == (0, "eval")  # 0.1 refused this


def test_loose_images_beside_class_folders_have_no_label(tmp_path):
    write_image(tmp_path / "a" / "0.png")
    write_image(tmp_path / "loose.png")
    (tmp_path / "README.txt").write_text("about")
    assert labels_of(opened("folder", tmp_path))["loose.png"] == (None, "train")
    assert set(labels_of(opened("folder", tmp_path))) == {"a/0.png", "loose.png"}


def test_a_folder_without_labels_sets_some_images_aside_and_tests_nothing(tmp_path):
    for i in range(60):
        write_image(tmp_path / "in" / f"{i}.png", i)
    source = opened("folder", tmp_path / "in")
    assert source.classes == ()
    shards = build_shards(source, tmp_path / "out")
    counts = shards.manifest.counts
    assert counts["train"].labelled == counts["test"].rows == 0
    assert counts["train"].rows + counts["eval"].rows == 60
    assert 0 < counts["eval"].rows < 20
    assert load_images(DataConfig(), shards).rows("test") == 0


def test_a_link_in_a_circle_ends(tmp_path):
    write_image(tmp_path / "a" / "0.png")
    (tmp_path / "a" / "round").symlink_to(tmp_path / "a")
    assert set(labels_of(opened("folder", tmp_path))) == {"a/0.png"}


def test_a_table_says_which_image_has_which_label(tmp_path):
    for name in ("x/0.png", "x/1.png", "2.png", "3.png", "y/4.png"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image, and not listed")
    table = tmp_path / "labels.csv"
    table.write_text("name,label,split\nx/0.png,10,train\n./2.png,9,test\ny/4.png,,train\n")
    source = opened("folder", tmp_path)
    assert source.classes == ("9", "10")
    assert labels_of(source) == {
        "x/0.png": (1, "train"),
        "x/1.png": (None, "train"),
        "2.png": (0, "test"),
        "3.png": (None, "train"),
        "y/4.png": (None, "train"),
    }
    before = source.fingerprint()
    table.write_text("name,label\nx/0.png,cat\n2.png,ant\n")
    os.utime(table, ns=(0, 0))
    assert opened("folder", tmp_path).classes == ("ant", "cat")
    assert opened("folder", tmp_path).fingerprint() != before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x,y,z\n0,a,b\n", r"has the columns x, y, z, but must have a column 'name'"),
        ("name,label\n0.png,a\ngone.png,a\n", r"1 of its 2 names are no files .* 'gone.png'"),
        ("name,label\n0.png,a\n0.png,b\n", r"0.png is listed twice"),
        ("name,label,split\n0.png,a,often\n", r"labels.csv:2: the split is 'often'"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path, text, words):
    write_image(tmp_path / "0.png")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        list(opened("folder", tmp_path).entries())


# CIFAR as its authors' Python 2 pickled it: byte strings and arrays by numpy's old module names


def py2(value) -> bytes:
    if isinstance(value, bytes):
        return b"T" + struct.pack("<i", len(value)) + value
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(py2, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(py2(k) + py2(v) for k, v in value.items()) + b"u"
    kind = b"cnumpy\ndtype\n" + py2(b"u1") + py2(0) + py2(1) + b"\x87R"
    kind += b"(" + py2(3) + py2(b"|") + b"NNN" + py2(-1) + py2(-1) + py2(0) + b"tb"
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + py2(0) + b"\x85"
    made += py2(b"b") + b"\x87R(" + py2(1)
    shape = b"(" + b"".join(map(py2, value.shape)) + b"t"
    return made + shape + kind + b"\x89" + py2(value.tobytes()) + b"tb"


def write_cifar(root: Path, hundred: bool, pickled: bool) -> tuple[Path, np.ndarray, list[int]]:
    """Files of 6 images each; the pixels (n, 32, 32, 3) and classes, training files first."""
    rng = np.random.default_rng(0)
    train = ["train"] if hundred else [f"data_batch_{i}" for i in range(1, 6)]
    names = [*train, "test" if hundred else "test_batch"]
    classes = 100 if hundred else 10
    folder = (
        root
        / {
            (False, False): "cifar-10-batches-bin",
            (False, True): "cifar-10-batches-py",
            (True, False): "cifar-100-binary",
            (True, True): "cifar-100-python",
        }[hundred, pickled]
    )
    folder.mkdir(parents=True)
    images = rng.integers(0, 256, (6 * len(names), 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, classes, len(images)).tolist()
    words = [f"class{i}".encode() for i in range(classes)]
    for number, name in enumerate(names):
        part = slice(6 * number, 6 * number + 6)
        planes, mine = images[part].transpose(0, 3, 1, 2).reshape(6, -1), labels[part]
        if pickled:
            key = b"fine_labels" if hundred else b"labels"
            batch = {b"batch_label": b"part", key: mine, b"data": planes}
            (folder / name).write_bytes(b"\x80\x02" + py2(batch) + b".")
            continue
        heads = np.array(mine, np.uint8)[:, None]
        if hundred:
            heads = np.concatenate([heads // 5, heads], axis=1)
        (folder / f"{name}.bin").write_bytes(np.concatenate([heads, planes], axis=1).tobytes())
    if pickled:
        key = b"fine_label_names" if hundred else b"label_names"
        meta = b"\x80\x02" + py2({key: words, b"num_vis": 3072}) + b"."
        (folder / ("meta" if hundred else "batches.meta")).write_bytes(meta)
    else:
        name = "fine_label_names.txt" if hundred else "batches.meta.txt"
        (folder / name).write_bytes(b"\n".join(words) + b"\n\n")
    return folder, images, labels


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("hundred", [False, True])
def test_cifar_comes_back_pixel_by_pixel_in_every_form(tmp_path, hundred, pickled, archived):
    folder, images, labels = write_cifar(tmp_path / "in", hundred, pickled)
    root = tmp_path / "in"
    if archived:
        kind = "python" if pickled else "binary"
        root = tmp_path / f"cifar-{'100' if hundred else '10'}-{kind}.tar.gz"
        with tarfile.open(root, "w:gz") as archive:
            archive.add(folder, folder.name)
    source = opened("cifar100" if hundred else "cifar10", root)
    found = images_of(source)
    assert source.classes[:2] == ("class0", "class1")
    test = [image for entry, image in found if entry.split == "test"]
    train = [image for entry, image in found if entry.split == "train"]
    assert (np.stack([*train, *test]) == images).all()
    by_split = sorted(found, key=lambda pair: pair[0].split == "test")
    assert [entry.label for entry, _ in by_split] == labels
    inner = opened(source.name, folder if not archived else root)
    assert inner.fingerprint() == source.fingerprint()


def test_both_versions_of_cifar_give_an_image_one_id(tmp_path):
    names = []
    for pickled in (False, True):
        folder, _, _ = write_cifar(tmp_path / str(pickled), False, pickled)
        names.append({entry.id for entry in opened("cifar10", folder).entries()})
    assert names[0] == names[1]


class Evil:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, monkeypatch):
    folder, _, _ = write_cifar(tmp_path, False, True)
    monkeypatch.chdir(tmp_path)
    (folder / "data_batch_3").write_bytes(pickle.dumps({b"data": Evil()}, protocol=2))
    with pytest.raises(DataError, match=r"data_batch_3: is not one .* wants posix.mkdir"):
        list(opened("cifar10", folder).entries())
    assert not (tmp_path / "pwned").exists()


def test_arrays_that_python_3_pickled_are_read_too(tmp_path):
    folder, images, labels = write_cifar(tmp_path, False, True)
    planes = images[:6].transpose(0, 3, 1, 2).reshape(6, -1)
    batch = {"labels": labels[:6], "data": planes}
    for protocol in (2, 4):
        (folder / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=protocol))
        assert (images_of(opened("cifar10", folder))[-36:][0][1] == images[0]).any()


@pytest.mark.parametrize("pickled", [False, True])
def test_a_cut_off_cifar_file_is_named(tmp_path, pickled):
    folder, _, _ = write_cifar(tmp_path, False, pickled)
    file = folder / ("data_batch_2" if pickled else "data_batch_2.bin")
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(DataError, match=f"{file}: "):
        list(opened("cifar10", folder).entries())


def test_a_missing_cifar_says_what_to_put_where(tmp_path):
    with pytest.raises(DataError, match=r"holds no CIFAR-10. Download cifar-10-binary.tar.gz or"):
        opened("cifar10", tmp_path)
    with pytest.raises(ConfigError, match=r"data.root is null, .* Download cifar-100-binary"):
        open_source(DataConfig(source="cifar100"))
    folder, _, _ = write_cifar(tmp_path, False, False)
    (folder / "data_batch_4.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_4.bin: no such file. Download"):
        opened("cifar10", tmp_path)


def write_stl10(root: Path) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    root.mkdir()
    parts = {}
    for part, count in (("train", 6), ("test", 4), ("unlabeled", 9)):
        images = parts[part] = rng.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
        # planes of colors, and each of them column by column
        (root / f"{part}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        if part != "unlabeled":
            (root / f"{part}_y.bin").write_bytes(bytes(1 + i % 10 for i in range(count)))
    (root / "class_names.txt").write_text(
        "airplane\nbird\ncar\ncat\ndeer\ndog\nhorse\nmonkey\nship\ntruck\n"
    )
    return parts


def test_stl10_comes_back_pixel_by_pixel(tmp_path):
    parts = write_stl10(tmp_path / "stl10_binary")
    source = opened("stl10", tmp_path)
    assert source.classes[:2] == ("airplane", "bird")
    found = images_of(source)
    assert len(found) == 19
    for entry, image in found:
        part, row = entry.id.split("/")
        assert (image == parts[part][int(row)]).all()
        assert entry.split == ("test" if part == "test" else "train")
        assert entry.label == (None if part == "unlabeled" else int(row) % 10)


def test_a_missing_or_cut_off_stl10_file_is_named(tmp_path):
    write_stl10(tmp_path / "in")
    file = tmp_path / "in" / "unlabeled_X.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{file}: has .* a multiple of 27648"):
        list(opened("stl10", tmp_path / "in").entries())
    file.unlink()
    with pytest.raises(DataError, match=f"{file}: no such file. Download stl10_binary.tar.gz"):
        opened("stl10", tmp_path / "in")


def write_parquet(path: Path, images: list, labels: list | None, names: dict, **keys) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {names.get("image", "image"): images}
    if labels is not None:
        columns[names.get("label", "label")] = labels
    pq.write_table(pa.table(columns), path, row_group_size=7, **keys)


class Mapped(DataConfig):
    columns: dict[str, str] | None = None


def mapped(root: Path, **columns: str) -> DataConfig:
    return Mapped(source="shards", root=str(root), columns=columns)


def png(value: int) -> bytes:
    return encode_png(np.full((5, 5), value, np.uint8))


def test_parquet_with_bytes_and_labels_of_text_is_read(tmp_path):
    write_parquet(tmp_path / "a.parquet", [png(i) for i in range(20)], ["cat", "ant"] * 10, {})
    write_parquet(tmp_path / "b.parquet", [png(i) for i in range(20, 25)], [None] * 5, {})
    source = opened("shards", tmp_path)
    assert source.classes == ("ant", "cat")
    found = {
        entry.id: (entry.label, decode(image).pixels[0, 0, 0]) for entry, image in images_of(source)
    }
    assert found["a.parquet:8"] == (1, 8)
    assert found["a.parquet:19"] == (0, 19)
    assert found["b.parquet:2"] == (None, 22)
    assert len(found) == 25


def test_hugging_faces_structs_class_names_and_test_files_are_understood(tmp_path):
    names = {"img": {}, "fine": {"names": ["ant", "bee", "cow"], "_type": "ClassLabel"}}
    meta = {b"huggingface": f'{{"info": {{"features": {names}}}}}'.replace("'", '"').encode()}
    for name, labels in (
        ("train-00000-of-00001", [0, 1, -1] * 5),
        ("test-00000-of-00001", [1] * 3),
    ):
        rows = [{"bytes": png(i), "path": None} for i in range(len(labels))]
        table = pa.table({"img": rows, "fine": labels}).replace_schema_metadata(meta)
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "data" / f"{name}.parquet")
    with pytest.raises(ConfigError, match=r"has no column 'image'; it has img, fine"):
        opened("shards", tmp_path)
    source = open_source(mapped(tmp_path, image="img", label="fine"))
    assert source.classes == ("ant", "bee", "cow")
    found = images_of(source)
    assert sum(entry.split == "test" for entry, _ in found) == 3
    assert sum(entry.label is None for entry, _ in found) == 5


def test_a_column_of_ids_names_the_images(tmp_path):
    table = pa.table({"key": [f"n{i}" for i in range(9)], "image": [png(i) for i in range(9)]})
    pq.write_table(table, tmp_path / "x.parquet")
    found = images_of(open_source(mapped(tmp_path, id="key")))
    assert [entry.id for entry, _ in found] == [f"n{i}" for i in range(9)]
    assert [decode(image).pixels[0, 0, 0] for _, image in found] == list(range(9))
    twice = pa.table({"key": ["same"] * 60, "image": [png(i) for i in range(60)]})
    pq.write_table(twice, tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"two images have the id 'same'"):
        build_shards(open_source(mapped(tmp_path, id="key")), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"data.columns maps picture, but must map only id"):
        open_source(mapped(tmp_path, picture="image"))
    with pytest.raises(ConfigError, match=r"has no column 'name'; it has key, image"):
        open_source(mapped(tmp_path, id="name"))


def test_parquet_becomes_shards_without_losing_an_image(tmp_path):
    values = [png(i) for i in range(100)]
    values[3] = None
    write_parquet(tmp_path / "in" / "x.parquet", values, [i % 3 for i in range(100)], {})
    shards = build_shards(opened("shards", tmp_path / "in"), tmp_path / "out", shard_bytes=1500)
    assert shards.manifest.skipped == ("x.parquet:3",)
    assert sum(shards.rows(split) for split in ("train", "eval", "test")) == 99
    assert len(shards.shards("train")) > 1


@pytest.mark.parametrize(
    ("labels", "words"), [([0.5] * 9, r"holds 0.5, but must hold text"), ([-3] * 9, r"holds -3")]
)
def test_labels_that_are_none_are_refused(tmp_path, labels, words):
    write_parquet(tmp_path / "x.parquet", [png(i) for i in range(9)], labels, {})
    with pytest.raises(DataError, match=words):
        opened("shards", tmp_path)


def test_parquet_that_is_missing_broken_or_without_images_is_named(tmp_path):
    with pytest.raises(DataError, match=r"holds no \*.parquet file"):
        opened("shards", tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match=r"x.parquet: cannot be read as Parquet"):
        opened("shards", tmp_path)
    pq.write_table(pa.table({"image": ["a.png"]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"the column 'image' holds string, but must hold encoded"):
        opened("shards", tmp_path)


def test_images_are_resized_by_the_short_side_and_cut_in_the_middle():
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 200
    assert (decode_to(encode_png(wide), 1, 10) == 200).all()
    assert decode_to(encode_png(wide), 3, 6).shape == (3, 6, 6)
    assert decode_to(encode_png(wide), 1, 20).shape == (1, 20, 20)


def test_half_an_image_is_an_error_and_no_gray_area():
    png = encode_png(np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8))
    with pytest.raises(DataError, match="not a whole image"):
        decode(png[: len(png) // 2])
