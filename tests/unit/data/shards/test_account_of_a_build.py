"""What a source and the decoder remark reaches the manifest, the terminal and `inspect`."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from raymoco.data.account import Account
from raymoco.data.codec import decode, encode_png
from raymoco.data.shards import build as building
from raymoco.data.shards import ensure as shards_module
from raymoco.data.shards.ensure import build_shards, ensure_shards
from raymoco.data.shards.inspection import describe_shards
from raymoco.data.shards.manifest import RULES, load_shards
from raymoco.data.sources.file_kinds import cannot_read
from raymoco.data.sources.source import Entry
from raymoco.errors import DataError
from raymoco.testing import check_source
from tests.people_folders import built, people_folder
from tests.unit.data.shards.test_shards import write_images


class Remarking:
    """Forty images of random pixels; it passes a text file over whenever it lists them."""

    name, classes = "remarking", ("a", "b")
    splits = ("train", "test")

    def __init__(self, data=None):
        self._account = Account()

    def entries(self):
        self._account = Account()
        for i in range(40):
            yield Entry(f"{i:02d}", i % 2, self.splits[i % 4 == 0], str(i), 64)
        self._account.add("passed over", "text files", "notes.txt")
        self._account.say("understood", "images of even numbers are of class a")

    def read(self, places):
        for place in places:
            pixels = np.random.default_rng(int(place)).integers(0, 256, (8, 8), dtype=np.uint8)
            yield b"no image" if place == "7" else encode_png(pixels)

    def fingerprint(self):
        return "0" * 64

    def account(self):
        return self._account


class CountsTwice(Remarking):
    def entries(self):
        before = self._account.remarks()
        yield from super().entries()
        self._account = Account([*before, *self._account.remarks()])


class GivesEval(Remarking):
    splits = ("train", "eval")

    def entries(self):
        yield from super().entries()
        yield Entry("x", 0, "test", "40", 64)
        yield Entry("y", 1, "test", "41", 64)


def remarks_of(shards):
    return [remark.line() for remark in shards.manifest.remarks]


def test_remarks_of_source_and_decoder_are_in_the_manifest_told_and_shown(tmp_path):
    said = []
    shards = build_shards(Remarking(), tmp_path / "out", progress=said.append)
    assert remarks_of(shards) == [
        "understood: images of even numbers are of class a",
        "passed over: 1 text files (notes.txt)",
        "corrupt: 1 not a whole image (07)",
    ]
    assert said[1:-1] == [f"remarking: {line}" for line in remarks_of(shards)]
    assert ("passed over", "1 text files (notes.txt)") in describe_shards(shards).lines()
    assert shards.manifest.skipped == ("07",)
    assert shards.manifest.rules == RULES


def test_a_killed_build_keeps_the_remarks_without_listing_again(tmp_path, monkeypatch):
    def power_cut(job, **keys):
        raise KeyboardInterrupt

    source = Remarking()
    monkeypatch.setattr(building, "build_shard", power_cut)
    with pytest.raises(KeyboardInterrupt):
        build_shards(source, tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr(source, "entries", None)
    assert len(remarks_of(build_shards(source, tmp_path / "out"))) == 3


def test_shards_that_are_used_again_say_that_there_are_remarks(tmp_path):
    data = write_images(tmp_path / "in")
    (tmp_path / "in/a/x.png").write_bytes(b"no image")
    ensure_shards(data, tmp_path / "runs")
    said = []
    ensure_shards(data, tmp_path / "runs", said.append)
    assert len(said) == 1
    assert "1 corrupt; `raymoco shards inspect" in said[0]


def test_shards_of_older_rules_are_used_and_that_is_told(tmp_path):
    data = write_images(tmp_path / "in")
    folder = ensure_shards(data, tmp_path / "runs").folder
    content = json.loads((folder / "manifest.json").read_text())
    for key in ("remarks", "rules", "background", "value_range"):  # 0.1 had none of these
        del content[key]
    (folder / "manifest.json").write_text(json.dumps(content | {"skipped": ["a/x.png"]}))
    said = []
    assert ensure_shards(data, tmp_path / "runs", said.append).manifest.rules == 1
    assert len(said) == 1
    assert "older version's rules" in said[0]
    assert "1 corrupt: a/x.png" in dict(describe_shards(load_shards(folder)).lines())["left out"]


def test_a_source_that_gives_eval_images_itself_keeps_all_others_for_training(tmp_path):
    shards = build_shards(GivesEval(), tmp_path / "out")
    assert [shards.rows(split) for split in ("train", "eval", "test")] == [29, 10, 2]


def test_keys_that_decide_what_is_stored_give_another_folder_only_off_their_defaults(tmp_path):
    data = write_images(tmp_path / "in")
    plain = shards_module.shards_folder(data, tmp_path)
    (tmp_path / "a.csv").write_text("name,label\n")
    changes = (
        {"duplicates": "keep"},
        {"background": "gray"},
        {"labels_csv": str(tmp_path / "a.csv")},
    )
    others = [shards_module.shards_folder(data.model_copy(update=c), tmp_path) for c in changes]
    assert len({plain, *others}) == 4
    view = data.model_copy(update={"view_size": 8})
    assert shards_module.shards_folder(view, tmp_path) == plain


def test_the_suite_refuses_a_source_that_counts_a_file_twice():
    check_source(Remarking())
    with pytest.raises(AssertionError, match="count files twice"):
        check_source(CountsTwice())


def test_strict_counts_what_the_source_could_not_read(tmp_path):
    class Unreadable(Remarking):
        def entries(self):
            yield from super().entries()
            self._account.add("corrupt", "not allowed to be read", "secret.png")

    with pytest.raises(DataError, match=r"2 images cannot be decoded: 07, secret.png"):
        build_shards(Unreadable(), tmp_path / "out", strict=True)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image.new("RGBA", (8, 8), (1, 2, 3, 0)), "transparent parts, filled with white"),
        (Image.new("LA", (8, 8), (1, 0)), "transparent parts, filled with white"),
        (Image.new("I;16", (8, 8), 4095), "more than 8 bits"),
        (Image.new("F", (8, 8), 0.5), "more than 8 bits"),
        (Image.new("RGB", (8, 8)), ""),
    ],
)
def test_what_decoding_changes_is_remarked(image, said):
    stream = io.BytesIO()
    image.save(stream, "TIFF" if image.mode == "F" else "PNG")
    reasons = " ".join(reason for _, reason in decode(stream.getvalue()).remarks)
    assert said in reasons
    assert bool(said) == bool(reasons)


@pytest.mark.filterwarnings("error")
def test_a_palette_with_transparency_is_remarked_without_a_warning_of_pillow():
    stream = io.BytesIO()
    palette = Image.effect_noise((8, 8), 50).quantize(4)
    palette.save(stream, "PNG", transparency=bytes([255, 128, 64, 0]))
    assert len(decode(stream.getvalue()).remarks) == 1


@pytest.mark.skipif(".heic" not in cannot_read(), reason="HEIC can be read here")
def test_an_image_that_hides_another_format_behind_its_name_is_told_with_the_package(tmp_path):
    heic = b"\0\0\0\x18ftypheic" + bytes(200)
    root = people_folder(tmp_path / "in", {"a": 40, "b": 40, "a/IMG_1.jpg": heic})
    shards = built(root, tmp_path / "out")
    (remark,) = (one for one in shards.manifest.remarks if one.kind == "corrupt")
    assert remark.line().startswith("corrupt: 1 by content HEIC")
    assert "pip install pillow-heif (a/IMG_1.jpg)" in remark.line()
