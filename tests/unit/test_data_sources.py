"""Sources yield the records that their files hold, and say clearly what is wrong with the files."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from raymoco.config import DataConfig
from raymoco.data.codec import decode, decode_to, encode_png
from raymoco.data.sources import FASHION_MNIST_ROOT, open_source
from raymoco.errors import ConfigError, DataError


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
    records = list(open_source(DataConfig(source="fashion_mnist", root=str(tmp_path))).records())
    assert [record.split for record in records] == ["train"] * 30 + ["test"] * 10
    assert [record.label for record in records] == [i % 10 for i in range(40)]
    assert len({record.id for record in records}) == 40
    assert all(
        (decode(r.image).pixels[0] == image).all() for r, image in zip(records, images, strict=True)
    )


def test_a_cut_off_idx_file_is_named(tmp_path):
    write_fashion(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-5])
    source = open_source(DataConfig(source="fashion_mnist", root=str(tmp_path)))
    with pytest.raises(DataError, match=f"{file}: has .* bytes of data"):
        list(source.records())


def test_idx_files_of_other_dimensions_are_refused(tmp_path):
    write_fashion(tmp_path)
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((30, 28)))
    source = open_source(DataConfig(source="fashion_mnist", root=str(tmp_path)))
    with pytest.raises(DataError, match="is not an IDX file of unsigned bytes in 3 dimensions"):
        list(source.records())


def test_missing_idx_files_are_named_with_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\[.gz\].*dataset-fashion-mnist"):
        open_source(DataConfig(source="fashion_mnist", root=str(tmp_path)))


@pytest.mark.skipif(not FASHION_MNIST_ROOT.is_dir(), reason="dataset-fashion-mnist not installed")
def test_the_real_fashion_mnist_is_found_by_itself():
    records = open_source(DataConfig(source="fashion_mnist")).records()
    first = next(records)
    assert (first.id, first.label, first.split) == ("train/00000", 9, "train")
    assert decode(first.image).pixels.shape == (1, 28, 28)
    assert 50 < decode(first.image).pixels.mean() < 150


def test_a_fifth_of_digits_is_the_test_set_and_stays_it():
    source = open_source(DataConfig())
    splits = [record.split for record in source.records()]
    assert len(splits) == 1797
    assert splits.count("test") == 361  # a hash decides: this number must never change
    assert splits == [record.split for record in source.records()]


def test_class_folders_become_labels_in_sorted_order(tmp_path):
    for name in ("zebra", "ant", "cow/nested"):
        for i in range(20):
            write_image(tmp_path / name / f"{i}.png", i)
    write_image(tmp_path / "unlabelled" / "x.png")
    (tmp_path / "ant" / ".DS_Store").write_text("hidden")
    source = open_source(DataConfig(source="folder", root=str(tmp_path)))
    records = {record.id: record for record in source.records()}
    assert source.classes == ("ant", "cow", "zebra")
    assert len(records) == 61
    assert records["ant/3.png"].label == 0
    assert records["cow/nested/3.png"].label == 1
    assert records["unlabelled/x.png"].label is None
    assert records["unlabelled/x.png"].split == "train"
    assert {record.split for record in records.values()} == {"train", "test"}


def test_train_and_test_folders_are_the_splits(tmp_path):
    for split in ("train", "test"):
        for name in ("a", "b"):
            write_image(tmp_path / split / name / "0.png")
    write_image(tmp_path / "train" / "unlabelled" / "u.png")
    source = open_source(DataConfig(source="folder", root=str(tmp_path)))
    found = {record.id: (record.split, record.label) for record in source.records()}
    assert source.classes == ("a", "b")
    assert found["test/b/0.png"] == ("test", 1)
    assert found["train/unlabelled/u.png"] == ("train", None)


def test_a_class_that_only_the_test_folder_has_is_refused(tmp_path):
    write_image(tmp_path / "train" / "a" / "0.png")
    write_image(tmp_path / "test" / "b" / "0.png")
    with pytest.raises(DataError, match=r"the class 'b' has no folder"):
        open_source(DataConfig(source="folder", root=str(tmp_path)))


@pytest.mark.parametrize("make", [False, True])
def test_a_missing_or_empty_folder_says_what_is_expected(tmp_path, make):
    root = tmp_path / "pictures"
    if make:
        root.mkdir()
    with pytest.raises(DataError, match=f"{root}: .*Expected is {root}/CLASS/IMAGE"):
        open_source(DataConfig(source="folder", root=str(root)))


def test_unsupported_sources_and_mixes_are_refused():
    with pytest.raises(ConfigError, match=r"cifar10 is not supported yet; there are: digits"):
        open_source(DataConfig(source="cifar10"))
    with pytest.raises(ConfigError, match=r"data.mix 1:7 is not supported yet"):
        open_source(DataConfig(mix="1:7"))


def test_images_are_resized_by_the_short_side_and_cut_in_the_middle():
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 200
    assert (decode_to(encode_png(wide), 1, 10) == 200).all()
    assert decode_to(encode_png(wide), 3, 6).shape == (3, 6, 6)
    assert decode_to(encode_png(wide), 1, 20).shape == (1, 20, 20)


def test_half_an_image_is_an_error_and_no_grey_area():
    png = encode_png(np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8))
    with pytest.raises(DataError, match="not a whole image"):
        decode(png[: len(png) // 2])
