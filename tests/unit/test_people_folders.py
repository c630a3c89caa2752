"""The builder of other people's folders makes what a test asks for."""

import os
import stat

from PIL import Image

from tests.people_folders import Link, Pipe, built, entries_of, people_folder


def test_a_number_makes_distinct_images_and_they_build(tmp_path):
    root = people_folder(tmp_path / "in", {"cats": 60, "dogs": 60})
    assert len({path.read_bytes() for path in root.rglob("*.png")}) == 120
    shards = built(root, tmp_path / "out")
    assert sum(shards.rows(split) for split in ("train", "eval", "test")) == 120
    assert set(entries_of(root)) == {
        f"{name}/{i}.png" for name in ("cats", "dogs") for i in range(60)
    }


def test_other_formats_and_names_and_files_are_made_as_asked(tmp_path):
    root = people_folder(
        tmp_path / "in",
        {"a/*.jpg": 2, "a/IMG_*": 1, "": 1, "a/n.txt": "x", "a/l": Link("/nowhere"), "a/p": Pipe()},
    )
    assert {path.name for path in (root / "a").iterdir()} == {
        "0.jpg",
        "1.jpg",
        "IMG_0",
        "n.txt",
        "l",
        "p",
    }
    for name, form in (("a/0.jpg", "JPEG"), ("a/IMG_0", "PNG"), ("0.png", "PNG")):
        with Image.open(root / name) as image:
            assert image.format == form
    assert os.readlink(root / "a" / "l") == "/nowhere"
    assert stat.S_ISFIFO((root / "a" / "p").stat().st_mode)
