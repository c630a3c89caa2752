"""What a file is, by its name or its content, is one rule everywhere in a folder."""

import io

import pytest
from PIL import Image, features

from raymoco.data.sources.file_kinds import FileKind, cannot_read, kind_of, suffix_by_content
from raymoco.errors import DataError
from tests.people_folders import built, entries_of, image_bytes, people_folder, pixels, told

BYSTANDERS = (
    "0.txt 0.json 0.svg 0.ogg 0.csv 0.md Thumbs.db desktop.ini 0.pdf 0.mp4 0.xml 0.npy 0.zip 0.MOV "
    "0.xmp 0.psd 0.py README LICENSE 0.tar.gz notes.bin"
)
READ_HERE = ".png .jpg .jpeg .jfif .jpe .bmp .gif .webp .tif .tiff .ppm .pgm .jp2 .avif .tga .ico"


def test_files_that_are_no_images_are_passed_over_by_kind_and_are_not_corrupt(tmp_path):
    files = {f"cats/{name}": "x" for name in BYSTANDERS.split()}
    root = people_folder(tmp_path / "in", {"cats": 60, "dogs": 60, **files})
    shards = built(root, tmp_path / "out", strict=True)
    assert shards.manifest.skipped == ()
    assert sum(shards.rows(split) for split in ("train", "eval", "test")) == 120
    lines = told(root).splitlines()
    named = next(line for line in lines if "no images by their names" in line)
    assert "16 files" in named
    assert ".csv, .db, .ini, .json, .md, .mov," in named
    assert "cats/" in named
    assert any("3 files whose names say nothing" in line and ".bin" in line for line in lines)
    assert any("2 archives" in line and ".gz, .zip" in line for line in lines)


@pytest.mark.parametrize("place", ["cats/", "unlabelled/", ""])
def test_images_of_every_format_are_taken_wherever_they_lie(tmp_path, place):
    more = {f"{place}*{suffix}": 1 for suffix in READ_HERE.split()}
    root = people_folder(tmp_path / "in", {"cats": 1, "dogs": 1, **more, f"{place}*.PNG": 1})
    taken = [name for name in entries_of(root) if name.rpartition("/")[0] + "/" == (place or "/")]
    assert {f"{place}0{suffix}" for suffix in (*READ_HERE.split(), ".PNG")} <= set(taken)


def test_a_table_of_labels_changes_nothing_about_what_is_an_image(tmp_path):
    files = {"img/*.avif": 1, "img/*.jfif": 1, "img/IMG_*": 1, "img/a.txt": "x", "img": 2}
    root = people_folder(tmp_path / "in", {**files, "labels.csv": "name,label\nimg/0.png,a\n"})
    assert set(entries_of(root)) == {
        f"img/{n}" for n in ("0.avif", "0.jfif", "IMG_0", "0.png", "1.png")
    }
    assert "1 files that are no images by their names: .txt (img/a.txt)" in told(root)


@pytest.mark.parametrize("place", ["cats/", "unlabelled/", ""])
@pytest.mark.parametrize(
    "name", ["IMG_0001", "0001", "x.bin", "x.dat", "x.img", "x.7", "ILSVRC.v2"]
)
def test_where_the_name_says_nothing_the_content_decides(tmp_path, place, name):
    root = people_folder(
        tmp_path / "in",
        {"cats": 1, "dogs": 1, place + name: image_bytes("x"), place + "other" + name: b"no image"},
    )
    assert set(entries_of(root)) == {"cats/0.png", "dogs/0.png", place + name}
    assert "1 files whose names say nothing and that hold no image" in told(root)


@pytest.mark.parametrize(
    "suffix", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF"]
)
def test_formats_are_recognized_by_their_first_bytes(suffix):
    stream = io.BytesIO()
    Image.fromarray(pixels("x")).save(stream, suffix)
    found = suffix_by_content(stream.getvalue()[:160])
    assert found is not None
    assert kind_of(f"x{found}")[0] is FileKind.IMAGE


@pytest.mark.parametrize(
    "head", [b"", b"BM", b"BMW 320i, 1985", b"P1 is a text", b"\0" * 160, b"RIFF0000WAVE"]
)
def test_other_first_bytes_are_no_image(head):
    assert suffix_by_content(head) is None


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("a.heic", "pillow-heif"),
        ("a.HEIF", "pillow-heif"),
        ("a.jxl", "pillow-jxl-plugin"),
        ("a.CR2", "rawpy"),
        ("a.nef", "rawpy"),
        ("a.dng", "rawpy"),
        ("a.dcm", "pydicom"),
        ("a.exr", "imageio"),
        ("a.nii", "SimpleITK"),
    ],
)
def test_images_that_this_installation_cannot_read_are_told_with_what_could(
    tmp_path, name, package
):
    if name[1:].lower() not in cannot_read():
        pytest.skip(f"{package} is installed")
    root = people_folder(tmp_path / "in", {"cats": 60, "dogs": 60, f"cats/{name}": b"x"})
    assert f"pip install {package}" in told(root)
    assert f"(cats/{name})" in told(root)
    assert built(root, tmp_path / "out", strict=True).manifest.skipped == ()


def test_heic_without_a_suffix_is_told_too_and_a_folder_of_nothing_else_says_why(tmp_path):
    heic = b"\0\0\0\x18ftypheic" + b"\0" * 20
    root = people_folder(tmp_path / "in", {f"IMG_{i}": heic for i in range(3)})
    if ".heic" not in cannot_read():
        pytest.skip("pillow-heif is installed")
    with pytest.raises(DataError, match="pip install pillow-heif"):
        entries_of(root)


@pytest.mark.parametrize("content", [b"", image_bytes("x")[:60], b"<html>404</html>"])
def test_what_is_called_an_image_and_is_none_is_corrupt(tmp_path, content):
    root = people_folder(tmp_path / "in", {"cats": 60, "dogs": 60, "cats/bad.jpg": content})
    assert built(root, tmp_path / "out").manifest.skipped == ("cats/bad.jpg",)
    with pytest.raises(DataError, match=r"cats/bad.jpg"):
        built(root, tmp_path / "strict", strict=True)


def test_pillow_reads_avif_here_or_the_package_is_named():
    assert (".avif" in cannot_read()) != bool(features.check("avif"))
