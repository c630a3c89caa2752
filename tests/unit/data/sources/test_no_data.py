"""Folders of systems and programs, and raymoco's own output, are never data, at any depth."""

import pytest

from raymoco.config import DataConfig
from raymoco.data.shards.ensure import ensure_shards, load_shards
from tests.people_folders import built, entries_of, people_folder, told

SYSTEMS = [
    *("@eaDir", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"),
    *(".ipynb_checkpoints", "__pycache__", ".git", "#recycle", "@Recycle", "RECYCLER", ".@__thumb"),
    *(".Trash-1000", ".thumbnails", "node_modules", "mlruns", "mlartifacts"),
]
JOURNAL = {"journal.jsonl": "{}", "fig.png": 0}


@pytest.mark.parametrize("name", SYSTEMS)
def test_folders_of_systems_are_never_data_at_any_depth(tmp_path, name):
    root = people_folder(
        tmp_path / "in",
        {"cats": 2, "dogs": 2, name: 2, f"cats/{name}": 2, f"cats/sub/{name}/x": 2, "": 1},
    )
    clean = {"0.png", *(f"{c}/{i}.png" for c in ("cats", "dogs") for i in range(2))}
    assert set(entries_of(root)) == clean
    assert f"{name}/" in told(root)
    assert f"cats/{name}/" in told(root)
    assert "passed over: 3" in told(root)


def test_hidden_files_and_apple_doubles_are_told_and_not_read(tmp_path):
    root = people_folder(tmp_path / "in", {"cats": 60, "dogs": 60})
    people_folder(root, {"cats/._0.png": "x", "cats/.DS_Store": "x", "dogs/.0.png.swp": "x"})
    assert built(root, tmp_path / "out", strict=True).manifest.skipped == ()
    assert "1 files ._NAME" in told(root)
    assert "2 hidden files" in told(root)


def test_thumbnails_beside_images_are_no_data_but_thumbs_may_be_a_class(tmp_path):
    root = people_folder(tmp_path / "in", {"cats": 2, "cats/thumbs": 2, "thumbs": 2})
    assert set(entries_of(root)) == {f"{c}/{i}.png" for c in ("cats", "thumbs") for i in range(2)}
    assert "folders of thumbnails" in told(root)


OURS = {
    "a run": {"one/config.yaml": "x", "one/journal.jsonl": "x", "one/pictures": 3},
    "a run of 0.1": {"one/config.yaml": "x", "one/metrics.csv": "x", "one/pictures": 3},
    "a sweep": {"s/sweep.yaml": "x", "s/journal.jsonl": "x", "s/figures": 3},
    "an output folder": {"mlflow.db": "x", "report.png": b"x"},
}


@pytest.mark.parametrize("where", ["runs", "results of mine", "deep/er/out"])
@pytest.mark.parametrize("kind", OURS)
def test_our_own_output_is_recognized_by_content_whatever_it_is_called(tmp_path, kind, where):
    root = people_folder(tmp_path / "in", {"cats": 2, "dogs": 2})
    before = entries_of(root)
    people_folder(root, {f"{where}/{name}": content for name, content in OURS[kind].items()})
    assert entries_of(root) == before
    assert "folders of raymoco's own output" in told(root)


@pytest.mark.parametrize("output", [".", "runs", "elsewhere"])
def test_shards_built_inside_the_data_do_not_change_it(tmp_path, output):
    root = people_folder(tmp_path / "in", {"cats": 60, "dogs": 60})
    data = DataConfig(source="folder", root=str(root))
    built_ = ensure_shards(data, root / output)
    people_folder(built_.folder, {"contact_sheet.png": b"x"})
    people_folder(root / output, {"more/config.yaml": "x", "more/journal.jsonl": "x", "more": 3})
    again = ensure_shards(data, root / output)
    assert again.manifest == load_shards(built_.folder).manifest
    assert set(again.manifest.classes) == {"cats", "dogs"}


OTHERS = {
    "a virtual environment": {"env/pyvenv.cfg": "x", "env/lib/python3/icons": 3},
    "wandb": {"wandb/run-20260101_000000-x/files/media/images": 3},
    "lightning": {"lightning_logs/version_0/samples": 3},
    "tensorboard": {"tb/events.out.tfevents.17": "x", "tb/grids": 3},
    "hydra": {"outputs/2026-01-01/.hydra/config.yaml": "x", "outputs/2026-01-01/plots": 3},
    "ultralytics": {
        "detect/train3/args.yaml": "x",
        "detect/train3/weights/a.pt": "x",
        "detect/train3": 3,
    },
    "a tagged cache": {
        "cache/CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55",
        "cache": 3,
    },
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_programs_output_is_no_data_either(tmp_path, kind):
    root = people_folder(tmp_path / "in", {"cats": 2, "dogs": 2, **OTHERS[kind]})
    assert len(entries_of(root)) == 4
    assert "of another program's output" in told(root)


def test_recycled_is_a_class_of_waste(tmp_path):
    root = people_folder(tmp_path / "in", {"recycled": 2, "landfill": 2})
    assert len(entries_of(root)) == 4


def test_a_class_may_be_called_like_a_program_or_hold_a_json(tmp_path):
    contents = {
        "wandb": 2,
        "shards": 2,
        "runs": 2,
        "runs/manifest.json": "{}",
        "config/config.yaml": "x",
    }
    root = people_folder(tmp_path / "in", contents)
    assert {name.partition("/")[0] for name in entries_of(root)} == {"wandb", "shards", "runs"}
