"""Tar files of samples, as the WebDataset project and others write them."""

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from raymoco.config import DataConfig
from raymoco.data.codec import decode, encode_png
from raymoco.data.shards.ensure import build_shards
from raymoco.data.sources.open import open_source
from raymoco.data.sources.webdataset import expand_braces
from raymoco.errors import ConfigError, DataError


def png(value: int) -> bytes:
    return encode_png(np.full((5, 5), value, np.uint8))


def tar(path: Path, *members: tuple[str, bytes | str | dict], mode: str = "w", **keys) -> Path:
    """A tar with these members in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, **keys) as archive:
        for name, content in members:
            if isinstance(content, dict):
                content = json.dumps(content)
            if isinstance(content, str):
                content = content.encode()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def opened(path: Path, **keys):
    return open_source(DataConfig(source="webdataset", root=str(path), **keys))


def content(path: Path, **keys) -> dict[str, tuple[str | None, int]]:
    """By id: the class and the value of the pixels."""
    source = opened(path, **keys)
    entries = list(source.entries())
    found = list(source.read([entry.place for entry in reversed(entries)]))[::-1]
    return {
        entry.id: (
            None if entry.label is None else source.classes[entry.label],
            int(decode(image).pixels[0, 0, 0]),
        )
        for entry, image in zip(entries, found, strict=True)
    }


def told(path: Path) -> str:
    source = opened(path)
    list(source.entries())
    return "\n".join(remark.line() for remark in source.account().remarks())


@pytest.mark.parametrize(
    "label",
    [("cls", "3"), ("cls", " 3\n"), ("json", {"label": 3}), ("json", {"cls": "3", "x": [1]})],
)
def test_a_label_stands_in_cls_or_json(tmp_path, label):
    path = tar(tmp_path / "a.tar", ("0.png", png(7)), (f"0.{label[0]}", label[1]))
    assert content(path) == {"a.tar:0": ("3", 7)}


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_tars_of_every_format_and_compression_are_read(tmp_path, format_, ending):
    deep = "/".join(["folder" * 3] * 6)  # longer than a plain header holds
    members = [(f"./{deep}/{i:04d}.{e}", c) for i in range(5) for e, c in
               (("png", png(i)), ("cls", str(i % 2)))]  # fmt: skip
    mode = {"tar": "w", "bz2": "w:bz2", "xz": "w:xz"}.get(ending.rpartition(".")[2], "w:gz")
    path = tar(tmp_path / f"a.{ending}", *members, mode=mode, format=format_)
    assert content(tmp_path) == {f"{path.name}:{deep}/{i:04d}": (str(i % 2), i) for i in range(5)}


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_accented_names_are_whole(tmp_path, format_):
    name = "é" * 150
    path = tar(tmp_path / "a.tar", (f"{name}.png", png(1)), ("b.png", png(2)), format=format_)
    assert content(path) == {f"a.tar:{name}": (None, 1), "a.tar:b": (None, 2)}


def test_samples_without_a_label_lie_between_others(tmp_path):
    path = tar(
        tmp_path / "a.tar",
        *[("0.png", png(0)), ("1.png", png(1)), ("1.cls", "cat"), ("2.cls", "-1")],
        ("2.png", png(2)),
    )
    assert content(path) == {"a.tar:0": (None, 0), "a.tar:1": ("cat", 1), "a.tar:2": (None, 2)}


def test_of_several_images_the_plain_one_is_taken_and_told(tmp_path):
    members = [("0.mask.png", png(9)), ("0.jpg", png(1)), ("0.cls", "0"), ("0.txt", "a cat")]
    path = tar(tmp_path / "a.tar", *members)
    assert content(path) == {"a.tar:0": ("0", 1)}
    said = told(path)
    assert "1 samples with several images, of which .jpg is taken and .mask.png is not" in said
    assert "passed over: 1 captions (.txt), which are no labels (a.tar:0.txt)" in said
    assert content(path, columns={"image": "mask.png"}) == {"a.tar:0": ("0", 9)}


def test_the_label_that_is_named_is_taken(tmp_path):
    members = [("0.png", png(1)), ("0.json", {"label": 1, "breed": "pug"}), ("0.kind", "dog")]
    path = tar(tmp_path / "a.tar", *members)
    assert content(path, columns={"label": "breed"}) == {"a.tar:0": ("pug", 1)}
    assert content(path, columns={"label": "kind"}) == {"a.tar:0": ("dog", 1)}


def test_files_of_a_sample_that_do_not_lie_together_are_put_together_and_told(tmp_path):
    members = [(f"{i}.png", png(i)) for i in range(3)] + [(f"{i}.cls", f"c{i}") for i in range(3)]
    path = tar(tmp_path / "a.tar", *members)
    assert content(path) == {f"a.tar:{i}": (f"c{i}", i) for i in range(3)}
    assert "tars in which the files of a sample do not lie together" in told(path)


def test_words_in_the_names_of_tars_are_the_splits(tmp_path):
    tar(tmp_path / "pets-train-0.tar", ("0.png", png(0)), ("0.cls", "0"))
    tar(tmp_path / "pets-val-0.tar", ("0.png", png(1)), ("0.cls", "0"))
    found = {entry.id: entry.split for entry in opened(tmp_path).entries()}
    assert found == {"pets-train-0.tar:0": "train", "pets-val-0.tar:0": "test"}
    tar(tmp_path / "pets-test-0.tar", ("0.png", png(1)))
    found = {entry.id.partition(":")[0]: entry.split for entry in opened(tmp_path).entries()}
    assert found == {
        "pets-train-0.tar": "train",
        "pets-val-0.tar": "eval",
        "pets-test-0.tar": "test",
    }
    (tmp_path / "pets-train-0.tar").unlink()
    with pytest.raises(DataError, match=r"has test and validation files, but none to train on"):
        opened(tmp_path)


def test_a_pattern_names_the_tars_and_missing_ones_are_counted(tmp_path):
    for i in (8, 9, 10):
        tar(tmp_path / "in" / f"a-{i:03d}.tar", ("0.png", png(i)))
    assert content(tmp_path / "in" / "a-{009..010}.tar") == {
        "a-009.tar:0": (None, 9),
        "a-010.tar:0": (None, 10),
    }
    with pytest.raises(DataError, match=r"2 of its 5 files are not there, such as .*a-011.tar"):
        opened(tmp_path / "in" / "a-{008..012}.tar")
    assert expand_braces("{a,b}/{8..10}") == [f"{x}/{i}" for x in "ab" for i in (8, 9, 10)]


def test_a_pipe_that_is_called_like_a_tar_is_never_opened(tmp_path):
    tar(tmp_path / "a.tar", ("0.png", png(1)))
    os.mkfifo(tmp_path / "b.tar")
    assert "passed over: 1 pipes, sockets and devices (b.tar)" in told(tmp_path)


def test_what_belongs_to_no_sample_is_passed_over_and_told(tmp_path):
    path = tar(
        tmp_path / "a.tar",
        *[("README", "x"), ("._0.png", b"x"), ("__MACOSX/0.png", b"x"), ("0.png", png(0))],
        ("only.cls", "3"),
    )
    assert content(path) == {"a.tar:0": (None, 0)}
    said = told(path)
    assert "passed over: 3 members of no sample, by their names (a.tar:._0.png, a.tar:REA" in said
    assert "passed over: 1 samples without an image (a.tar:only)" in said
    assert "no sample has a label: that would be a .cls" in said


def test_names_whose_dots_separate_nothing_are_refused(tmp_path):
    path = tar(tmp_path / "a.tar", *[(f"img.{i:03d}.png", png(0)) for i in range(20)])
    with pytest.raises(DataError, match=r"a.tar:img: 20 images are one sample, because"):
        content(path)


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (("0.json", "{"), r"a.tar:0.json: is no JSON"),
        (("0.json", {"label": [1, 2]}), r"a .cls or .json holds a list, such as \[1, 2\]"),
        (("0.cls", b"\xff\xfe\x00"), r"a.tar:0.cls: is no text, but must hold the label"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path, member, words):
    path = tar(tmp_path / "a.tar", ("0.png", png(0)), member)
    with pytest.raises(DataError, match=words):
        content(path)


def test_tars_that_are_missing_cut_off_damaged_or_without_images_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"data.root is null"):
        open_source(DataConfig(source="webdataset"))
    with pytest.raises(DataError, match=r"holds no tar file; those that are read: .tar, .tar.gz"):
        opened(tmp_path)
    with pytest.raises(DataError, match=r"no.tar: it is not there"):
        opened(tmp_path / "no.tar")
    path = tar(tmp_path / "a.tar", ("0.npy", b"x"), ("0.cls", "1"))
    with pytest.raises(DataError, match=r"of its 1 tars has an image; their extensions are .npy"):
        content(path)
    tar(path, ("0.png", png(0)), ("1.png", bytes(5000)))
    whole = path.read_bytes()
    path.write_bytes(whole[:3000])
    with pytest.raises(DataError, match=r"a.tar: cannot be read as a tar: .*Is it complete"):
        content(path)
    path.write_bytes(whole[:1024] + b"rubbish!" * 64 + whole[1536:])
    with pytest.raises(DataError, match=r"a.tar: is damaged at byte"):
        content(path)
    path.write_bytes(whole + whole)
    with pytest.raises(DataError, match=r"a.tar: goes on after its end at byte"):
        content(path)


def test_shards_are_built_of_plain_and_of_compressed_tars_alike(tmp_path):
    members = [(f"{i:03d}.{e}", c) for i in range(80) for e, c in
               (("png", png(i)), ("cls", str(i % 2)))]  # fmt: skip
    tar(tmp_path / "plain" / "a.tar", *members)
    tar(tmp_path / "gz" / "a.tar", *members, mode="w:gz")
    built = [
        build_shards(opened(tmp_path / name), tmp_path / f"out-{name}", parallel=False).manifest
        for name in ("plain", "gz")
    ]
    assert built[0].counts == built[1].counts
    assert sum(count.rows for count in built[0].counts.values()) == 80
