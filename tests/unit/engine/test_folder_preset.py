"""The preset `folder`: what is found, what the tables make of it, and whose value wins."""

import numpy as np
import pytest
from PIL import Image

from raymoco.config import RunConfig, load_run_config, read_run
from raymoco.data.sources.probe import probe
from raymoco.engine.folder_preset import AMOUNTS, FEWEST, decide
from raymoco.engine.regime import TrainImages, regime
from raymoco.engine.regime_advice import PROBLEMS
from raymoco.errors import ConfigError, DataError
from raymoco.study.sweepfile.load import load_sweep

SWEEP = """kind: search
name: s
run: {preset: digits, epochs: 9}
search: {method.temperature: {choice: [0.1, 0.2]}}
"""


def folder(root, size=(40, 30), classes=("a", "b"), count=60, mode="RGB"):
    rng = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(root / name / f"{number}.png")
    return root


def values_of(root, *overrides):
    config = load_run_config(str(root), overrides)
    return config.data, config.model, config.method, config.optim


def test_what_fits_a_folder_follows_from_what_lies_there(tmp_path):
    data, model, method, optim = values_of(folder(tmp_path / "f", (80, 60)))
    assert (data.source, data.view_size, data.image_size) == ("folder", 64, 73)
    assert data.views == "colour"
    assert (model.backbone, model.width, method.loss) == ("resnet8", 32, "unicon")
    assert (optim.batch_size, method.queue_size) == (16, 16)
    data, *_ = values_of(folder(tmp_path / "g", (28, 28), mode="L"))
    assert (data.image_size, data.view_size, data.views) == (28, None, "glyph")
    data, *_ = values_of(folder(tmp_path / "h", (300, 70), mode="L"))
    assert (data.view_size, data.views) == (64, "grey")
    data, *_ = values_of(folder(tmp_path / "i", (60, 60)))
    assert (data.image_size, data.view_size) == (64, None)


def test_everything_is_written_into_the_config_and_the_folder_is_not_asked_again(tmp_path):
    root = folder(tmp_path / "f")
    config = load_run_config(str(root))
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    (root / "a" / "0.png").unlink()
    for path in (root / "b").iterdir():
        path.unlink()
    assert load_run_config(str(tmp_path / "config.yaml")) == config


def test_what_the_user_sets_wins_and_is_not_said_to_be_decided(tmp_path):
    root = folder(tmp_path / "f")
    found = read_run(str(root), ["data.image_size=20", "optim.batch_size=24"])
    assert (found.config.data.image_size, found.config.optim.batch_size) == (20, 24)
    said = " ".join(found.notes)
    assert "2 classes" in said
    assert "data.image_size" not in said
    assert "method.queue_size 16" in said
    assert found.sources["data.image_size"] == "command line: data.image_size=20"
    assert found.sources["method.queue_size"].startswith("folder's table: at most a quarter")
    assert found.sources["method.temperature"] == "preset folder"
    file = tmp_path / "my.yaml"
    file.write_text(f"preset: folder\ndata: {{root: {root}}}\nepochs: 3\n")
    found = read_run(str(file))
    assert found.sources["epochs"] == f"{file}:3"
    assert found.sources["data.image_size"].startswith("folder's table")  # beside what is written
    assert "data.image_size 32" in " ".join(found.notes)


def test_images_without_labels_are_trained_without(tmp_path):
    root = folder(tmp_path / "f", classes=(".",), count=90)
    config = load_run_config(str(root))
    assert config.method.loss == "info_nce"


def test_too_few_images_are_refused_with_how_many_are_needed(tmp_path):
    with pytest.raises(DataError, match=rf"of its 20 images would be.*needs {FEWEST}"):
        load_run_config(str(folder(tmp_path / "f", count=10)))


def test_a_probe_counts_images_and_reads_headers(tmp_path):
    root = folder(tmp_path / "f", (50, 40))
    (root / "a" / "broken.png").write_bytes(b"no image")
    found = probe(RunConfig().with_values({"data.source": "folder", "data.root": str(root)}).data)
    assert (found.images, found.labelled, found.classes) == (121, 121, 2)
    assert (found.sampled, found.short_side, found.square, found.oblong) == (120, 40, None, 1.0)
    assert 76 <= found.train <= 98  # 0.8 * 0.9, where a hash of each name decides


@pytest.mark.parametrize("row", range(len(AMOUNTS)))
def test_the_regime_of_every_row_of_the_table_has_no_problem(row):
    from raymoco.data.sources.probe import Probe

    top = AMOUNTS[row + 1].from_images - 1 if row + 1 < len(AMOUNTS) else 1_281_167
    for count in (AMOUNTS[row].from_images, top):
        found = Probe(count, count, 0, 0, 200, 70, None, 0.5, 3)
        values = {one.key: one.value for one in decide(found, "f")}
        config = RunConfig().with_values({"method.temperature": 0.2, **values})
        result = regime(config, TrainImages(count))
        assert [problem.words([result]) for problem in PROBLEMS if problem.has(result)] == []
        assert config.method.queue_size <= (count - config.optim.batch_size) / 4


def test_a_sweep_takes_the_folder_in_one_line(tmp_path):
    path, root = tmp_path / "s.yaml", folder(tmp_path / "f")
    path.write_text(SWEEP)
    for words in ([], ["run.preset=folder"]):
        sweep = load_sweep(path, [f"run.data.root={root}", *words])
        assert (sweep.base.data.source, sweep.base.method.queue_size) == ("folder", 16)
        assert sweep.base.epochs == 9  # the file's
        assert ("the preset is folder instead of digits" in " ".join(sweep.notes)) == (not words)
        assert "preset" not in sweep.spec.run


def test_a_folder_beside_images_that_need_none_is_refused_where_it_is_not_clear(tmp_path):
    root = folder(tmp_path / "f")
    with pytest.raises(ConfigError, match=r"brings its images and takes no folder.*raymoco train"):
        load_run_config("digits", [f"data.root={root}"])
    path = tmp_path / "s.yaml"
    path.write_text(SWEEP.replace("epochs: 9", f"data: {{root: {root}}}"))
    with pytest.raises(ConfigError, match=r"s.yaml:3: .*run.preset=folder run.data.root="):
        load_sweep(path)


def test_a_word_is_a_preset_a_file_a_folder_or_a_run_or_it_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no preset, file or folder is called 'digitz'; did you"):
        load_run_config("digitz")
    run = tmp_path / "runs" / "r"
    run.mkdir(parents=True)
    (run / "journal.jsonl").touch()
    (run / "config.yaml").write_text(load_run_config("digits", ["epochs=7"]).to_yaml())
    assert load_run_config(str(run), ["seed=1"]).epochs == 7
    sweep = tmp_path / "runs" / "s"
    sweep.mkdir()
    (sweep / "journal.jsonl").touch()
    (sweep / "sweep.yaml").write_text(SWEEP)
    with pytest.raises(ConfigError, match=r"is the folder of a sweep.*--resume"):
        load_run_config(str(sweep))


def test_the_preset_without_a_folder_says_what_is_missing():
    from raymoco.data.sources.open import open_source

    with pytest.raises(ConfigError, match=r"data.root is null, but data.source folder needs"):
        open_source(load_run_config("folder").data)
