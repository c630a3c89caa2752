"""`shards inspect` takes shards, configs, presets and folders, and shows what a run will see."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from raymoco.cli import app
from raymoco.cli.images_of import config_of
from raymoco.config import DataConfig
from raymoco.data.shards.contact_sheet import contact_sheet
from raymoco.data.shards.ensure import build_shards, ensure_shards
from raymoco.data.shards.manifest import SPLITS, ShardSet
from raymoco.data.shards.near_copies import find_near_copies
from raymoco.data.sources.open import open_source
from tests.people_folders import people_folder


def picture(seed: int, side: int = 64) -> Image.Image:
    """A smooth picture, as photographs are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


@pytest.fixture
def root(tmp_path):
    for number, (name, count) in enumerate((("few", 12), ("many", 30), ("some", 20))):
        for i in range(count):
            save(picture(100 * number + i), tmp_path / "in" / name / f"{i}.png")
    return tmp_path / "in"


def built(root: Path) -> ShardSet:
    source = open_source(DataConfig(source="folder", root=str(root)))
    return build_shards(source, root.parent / "shards", parallel=False)


def found(root: Path, output: Path) -> ShardSet:
    """Shards where a command finds them: to build them it would start Ray."""
    return ensure_shards(DataConfig(source="folder", root=str(root)), output)


def inspect(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["shards", "inspect", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["shards", "inspect", *arguments])
    assert done.exit_code != 0
    return done.output or str(done.exception)


def test_a_folder_of_shards_shows_classes_with_their_splits_the_largest_first(root, tmp_path):
    shards = built(root)
    text = inspect(str(shards.folder))
    assert text.index("many") < text.index("some") < text.index("few")
    counts = shards.manifest.counts
    row = next(line for line in text.splitlines() if "│ many " in line)
    assert [int(cell) for cell in row.split("│")[2:5]] == [
        counts[split].per_class["many"] for split in SPLITS
    ]
    assert (shards.folder / "contact_sheet.png").exists()
    assert "likely pairs across splits" in text


def test_a_config_is_drawn_at_its_size(root, tmp_path):
    folder = found(root, tmp_path / "runs").folder
    config = tmp_path / "my.yaml"
    config.write_text(
        f"preset: digits\noutput: {tmp_path}/runs\n"
        f"data: {{source: folder, root: {root}, image_size: 24}}\n"
    )
    inspect(str(config), "--sheet", str(tmp_path / "sheet.png"))
    assert list((tmp_path / "runs" / "shards").iterdir()) == [folder]
    with Image.open(tmp_path / "sheet.png") as sheet:
        small = sheet.size
    inspect(str(config), "data.image_size=128", "--sheet", str(tmp_path / "large.png"))
    with Image.open(tmp_path / "large.png") as sheet:
        assert sheet.width > small[0]


def test_a_folder_of_images_is_shown(root, tmp_path):
    folder = found(root, tmp_path / "runs").folder
    assert f"contact sheet  {folder}/contact_sheet.png" in inspect(
        str(root), f"output={tmp_path}/runs"
    )


def test_a_folder_of_any_number_of_images_is_drawn_as_its_preset_would_see_them(tmp_path):
    people_folder(tmp_path / "in", {"a": 12, "b": 12})  # too few to train on
    assert "contact sheet" in inspect(str(tmp_path / "in"), f"output={tmp_path}/runs")
    plain = config_of(str(tmp_path / "in"), [])
    assert (plain.data.source, plain.data.image_size, plain.data.views) == ("folder", 32, "colour")
    typed = config_of(str(tmp_path / "in"), ["data.image_size=20", "data.views=grey"])
    assert (typed.data.image_size, typed.data.views) == (20, "grey")


def test_a_sweep_file_shows_the_images_of_its_run(tmp_path):
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(
        f"kind: search\nname: s\noutput: {tmp_path}/runs\nrun: {{preset: digits, epochs: 1}}\n"
        "search: {method.queue_size: {choice: [64, 128]}}\nbudget: {trials: 2}\n"
        "tracking: {uri: none}\n"
    )
    ensure_shards(DataConfig(), tmp_path / "runs")
    assert "8 x 8 pixels" in inspect(str(sweep))


def test_a_word_that_means_nothing_is_told_what_it_could_be(tmp_path):
    assert "no such file or folder" in refused(str(tmp_path / "nothing.yaml"))
    assert "'digit'; did you mean 'digits'?" in refused("digit")


def test_a_folder_around_shards_names_them(root, tmp_path):
    shards = built(root)
    assert f"name one, such as {shards.folder}" in refused(str(tmp_path))


def test_overrides_do_not_suit_shards(root):
    assert "takes no data.image_size=8" in refused(str(built(root).folder), "data.image_size=8")


def test_images_of_many_sizes_are_drawn_at_a_usual_size_not_the_smallest(root, tmp_path):
    save(picture(1, 7), root / "many" / "tiny.png")
    page = contact_sheet(built(root), tmp_path / "sheet.png")
    with Image.open(page.path) as sheet:
        drawn = np.asarray(sheet.convert("RGB"))
    # an image of 64 pixels that was drawn from 7 would have 7 distinct columns
    tile = drawn[84:140, 170:220]
    assert len(np.unique(tile.reshape(-1, 3), axis=0)) > 500


def test_many_classes_are_shown_page_by_page_with_a_count_of_the_rest(root, tmp_path):
    shards = built(root)
    first = contact_sheet(shards, tmp_path / "1.png", classes=2)
    second = contact_sheet(shards, tmp_path / "2.png", classes=2, page=2)
    assert first.line().endswith(
        "1.png with classes 1 to 2 of 3, the largest first; --page 2 draws the next ones"
    )
    assert second.line().endswith("2.png with classes 3 to 3 of 3, the largest first")
    text = inspect(str(shards.folder), "--classes", "2")
    assert "1 of 3 classes are not shown" in text
    assert "few" not in text.split("test")[-1]


def test_names_under_images_make_the_sheet_higher(root, tmp_path):
    shards = built(root)
    sizes = []
    for names in (False, True):
        contact_sheet(shards, tmp_path / "sheet.png", names=names)
        with Image.open(tmp_path / "sheet.png") as sheet:
            sizes.append(sheet.height)
    assert sizes[1] == sizes[0] + 3 * 16


def jpeg(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=50)
    return Image.open(stream)


@pytest.mark.parametrize(
    ("change", "mirrored"),
    [
        (jpeg, False),
        (lambda image: image.resize((40, 40)), False),
        (lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), True),
        (lambda image: image.point([level // 2 + 20 for level in range(256)] * 3), False),
    ],
    ids=["JPEG", "smaller", "mirrored", "darker"],
)
def test_near_copies_are_likely_pairs_and_others_are_not(tmp_path, change, mirrored):
    for i in range(30):
        save(picture(i), tmp_path / "in" / "train" / "a" / f"{i}.png")
        save(picture(500 + i), tmp_path / "in" / "test" / "a" / f"{i}.png")
    save(change(picture(503)), tmp_path / "in" / "train" / "a" / "again.png")
    found = find_near_copies(built(tmp_path / "in"))
    pairs = {frozenset((pair.first, pair.second)): pair.mirrored for pair in found.across}
    assert pairs == {frozenset(("test/a/3.png", "train/a/again.png")): mirrored}
    assert (found.within_count, found.seen) == (0, 61)


def test_blank_images_and_exact_copies_are_no_near_copies(tmp_path):
    for i in range(20):
        blank = Image.new("RGB", (16, 16), (i, i, i))
        save(blank, tmp_path / "in" / "a" / f"{i}.png")
        save(picture(7), tmp_path / "in" / "b" / f"{i}.png")
    found = find_near_copies(built(tmp_path / "in"))
    assert (found.across_count, found.within_count) == (0, 0)


def test_only_so_many_images_are_compared_and_judged_ones_first(root):
    found = find_near_copies(built(root), most=10)
    assert found.seen == 10
    assert found.total == 62
    assert "among 10 of 62 images" in found.line()
