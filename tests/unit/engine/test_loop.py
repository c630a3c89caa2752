"""The loop of one run, in this process: the same code that a worker runs."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from raymoco.choices import PROTOCOLS
from raymoco.config import RunConfig
from raymoco.data.loading.prepare import load_images
from raymoco.data.shards.ensure import ensure_shards
from raymoco.engine.checkpoint import find_checkpoint, list_checkpoints, load_checkpoint
from raymoco.engine.loop import run_loop
from raymoco.engine.metrics_csv import MetricsFile, read_metrics
from raymoco.engine.profiler import REGIONS, WHOLE, table
from raymoco.engine.resolve import resolve
from raymoco.engine.session import Session, Stopped
from raymoco.errors import ConfigError, DataError, NotFiniteError
from raymoco.metrics import LISTED, is_known, is_metric
from tests.small import small_run

TIMED = ("perf/", "train_seconds")
BASE = small_run(
    data__limit=160,
    data__labelled_fraction=0.3,
    method__cross_consistency__weight=0.5,
    method__negative_uniformity__weight=0.1,
    eval__linear__epochs=5,
    epochs=3,
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return load_images(BASE.data, ensure_shards(BASE.data, tmp_path_factory.mktemp("shards")))


def resolved(images, **values):
    config = BASE.with_values({key.replace("__", "."): value for key, value in values.items()})
    return resolve(config, channels=1, train_images=images.rows("train"))


def run(config, images, folder, resume_from=None, stop_after=None):
    rows = {}

    def on_report(row, checkpoint):
        rows[row["epoch"]] = row
        return row["epoch"] == stop_after

    session = Session(folder, on_report=on_report)
    try:
        run_loop(config, images, session, resume_from)
    except Stopped:
        assert stop_after is not None
    return rows


def untimed(rows):
    return {
        epoch: {name: value for name, value in row.items() if not name.startswith(TIMED)}
        for epoch, row in rows.items()
    }


def weights(folder):
    return load_checkpoint(find_checkpoint(folder)).module


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"method__symmetric": True, "method__batch_norm": "split", "method__bn_groups": 4},
        {"method__loss": "sup_con_in", "method__queue_init": "empty", "optim__name": "adamw"},
        {
            "method__loss": "cross_entropy",
            "method__cross_consistency__weight": 0,
            "method__negative_uniformity__weight": 0,
        },
    ],
)
def test_a_run_stopped_and_resumed_has_the_weights_and_rows_of_one_never_stopped(
    images, tmp_path, values
):
    config = resolved(images, **values)
    whole = run(config, images, tmp_path / "whole")
    run(config, images, tmp_path / "part", stop_after=1)
    resumed = run(config, images, tmp_path / "part", find_checkpoint(tmp_path / "part"))
    assert untimed(resumed) == untimed(whole)
    ours, theirs = weights(tmp_path / "part"), weights(tmp_path / "whole")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_is_not_changed_by_what_ran_before_it_in_the_process(images, tmp_path):
    config = resolved(images)
    alone = run(config, images, tmp_path / "alone")
    other = {"method__queue_size": 16, "method__temperature": 0.5, "optim__batch_size": 32}
    run(resolved(images, model__width=8, seed=5, **other), images, tmp_path / "other")
    torch.rand(7)
    assert untimed(run(config, images, tmp_path / "later")) == untimed(alone)


def test_every_epoch_reports_its_metrics_and_the_last_one_the_test_split(images, tmp_path):
    rows = run(resolved(images), images, tmp_path)
    assert sorted(rows) == [1, 2, 3]
    per_epoch = {
        "train/loss", "train/contrast", "train/cross_consistency", "train/negative_uniformity",
        "train/lr", "eval/knn_top1", "eval/alignment", "eval/uniformity", "eval/effective_rank",
        "perf/images_per_second", "perf/data_wait", "perf/step_seconds",
    }  # fmt: skip
    assert all(per_epoch <= set(row) for row in rows.values())
    final = {"test/knn_top1", "test/linear_top1", "test/linear_top5"}
    assert [bool(final & set(rows[epoch])) for epoch in (1, 2, 3)] == [False, False, True]
    assert rows[3]["train/lr"] < rows[1]["train/lr"]


def test_whatever_a_run_reports_is_a_known_metric_and_every_listed_one_is_reported(
    images, tmp_path
):
    changes = {1: {"method.temperature": 0.3}}
    every = [name for name, choice in PROTOCOLS.choices.items() if not choice.always]
    config = resolved(images, changes=changes, epochs=2, eval__protocols=every)
    row = run(config, images, tmp_path)[2]
    beside = {name for name in row if not is_metric(name)}
    assert beside == {"epoch", "train_seconds"}
    assert [name for name in set(row) - beside if not is_known(name)] == []
    assert [name for name in LISTED if name not in row] == []
    assert "changes/method.temperature" in row


def test_evaluating_less_often_changes_no_weight(images, tmp_path):
    run(resolved(images), images, tmp_path / "often")
    rows = run(resolved(images, eval__every=2), images, tmp_path / "seldom")
    assert ["eval/knn_top1" in rows[epoch] for epoch in (1, 2, 3)] == [False, True, True]
    often, seldom = weights(tmp_path / "often"), weights(tmp_path / "seldom")
    assert all(torch.equal(often[name], seldom[name]) for name in often)


def test_a_loss_that_explodes_ends_the_run_with_the_epoch_and_keeps_the_checkpoints(
    images, tmp_path
):
    config = resolved(images, optim__lr=1e30)
    with pytest.raises(NotFiniteError, match=r"^nan at epoch 1$"):
        run(config, images, tmp_path)


def test_old_checkpoints_go_and_the_newest_stay(images, tmp_path):
    run(resolved(images, checkpoint__keep=2), images, tmp_path)
    assert [path.name for path in list_checkpoints(tmp_path)] == [
        "epoch-00002.pt",
        "epoch-00003.pt",
    ]


def flipped(content):
    """Bytes of the pickle inside, and of a tensor, changed: what a bad disk does."""
    at = content.index(b"FORMAT".lower())
    return content[: at - 20] + b"\xff" * 30 + content[at + 10 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:1000],
        lambda content: content[:2],
        lambda content: b"not a checkpoint at all\n" * 100,
        flipped,
    ],
    ids=["cut", "two bytes", "other", "flipped"],
)
def test_a_damaged_checkpoint_is_named(images, tmp_path, damage):
    run(resolved(images, epochs=1), images, tmp_path)
    path = find_checkpoint(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"epoch-00001\.pt: cannot be read"):
        load_checkpoint(path)


def test_a_sound_checkpoint_that_finds_no_room_is_not_passed_over(images, tmp_path, monkeypatch):
    config = resolved(images, epochs=2)
    run(config, images, tmp_path, stop_after=1)

    def full(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(torch.OutOfMemoryError):
        run(config, images, tmp_path, resume_from=find_checkpoint(tmp_path))


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(images, tmp_path):
    config = resolved(images)
    whole = run(config, images, tmp_path / "whole")
    run(config, images, tmp_path / "cut", stop_after=2)
    first, second = list_checkpoints(tmp_path / "cut")
    second.write_bytes(second.read_bytes()[:-1000])
    rows = run(config, images, tmp_path / "cut", resume_from=second)
    assert untimed(rows) == untimed(whole)
    for path in (first, second):
        path.write_bytes(b"")
    said = []
    run_loop(config, images, Session(tmp_path / "cut", on_text=said.append), second)
    assert [name in line for name, line in zip((second.name, first.name), said, strict=False)] == [
        True,
        True,
    ]
    ours, theirs = weights(tmp_path / "cut"), weights(tmp_path / "whole")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert len(list_checkpoints(tmp_path / "cut")) == 1, "the spare one goes at the end"


def test_a_run_stops_within_an_epoch_when_it_is_asked_between_steps(images, tmp_path):
    config, asked, rows = resolved(images, optim__batch_size=16), [], []

    def on_check():
        asked.append(len(rows))
        return len(asked) == 5

    def on_report(row, checkpoint):
        rows.append(row)
        return False

    session = Session(tmp_path, on_report=on_report, on_check=on_check, check_every=4)
    with pytest.raises(Stopped):
        run_loop(config, images, session)
    # 9 steps an epoch: after the 4th and 8th; a report is a check too, so counting begins anew
    assert asked == [0, 0, 1, 1, 2]
    assert len(rows) == 2


def test_checks_change_no_number(images, tmp_path):
    config = resolved(images)
    calm = run(config, images, tmp_path / "calm")
    rows = {}

    def on_report(row, checkpoint):
        rows[row["epoch"]] = row
        return False

    run_loop(config, images, Session(tmp_path / "asked", on_report=on_report, check_every=1))
    assert untimed(rows) == untimed(calm)


def test_a_queue_that_holds_the_data_is_refused():
    config = RunConfig().with_values({"optim.batch_size": 64, "method.queue_size": 300})
    with pytest.raises(
        ConfigError, match=r"method\.queue_size is 300, but with 300 training images"
    ):
        resolve(config, channels=1, train_images=300)
    both = config.with_values({"method.symmetric": True})
    assert resolve(both, channels=1, train_images=300).method.queue_size == 300


def test_auto_values_are_written_out(images):
    config = resolved(images)
    assert config.precision in ("fp32", "bf16")
    assert config.data.views == "glyph"
    assert config.data.label_seed == config.seed
    assert config.name


def test_a_metrics_file_takes_a_row_again_in_its_place(tmp_path):
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path)
    file.add({"epoch": 2, "train/loss": 2.0})
    file.add({"epoch": 1, "train/loss": 3.0, "eval/knn_top1": 0.1})
    file.add({"epoch": 2, "train/loss": 1.5})
    assert read_metrics(path) == [
        {"epoch": 1, "train/loss": 3.0, "eval/knn_top1": 0.1},
        {"epoch": 2, "train/loss": 1.5},
    ]
    assert MetricsFile(path, up_to_epoch=1).rows.keys() == {1}


def test_run_folders_without_a_checkpoint_say_so(tmp_path):
    with pytest.raises(DataError, match="no checkpoint there"):
        find_checkpoint(Path(tmp_path))


def test_images_without_any_label_train_and_show_collapse_only(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(150):
        pixels = generator.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    values = {"data.source": "folder", "data.root": str(folder), "data.limit": None}
    values |= {"method.loss": "info_nce", "optim.batch_size": 32, "method.queue_size": 16}
    config = BASE.with_values(values)
    images = load_images(config.data, ensure_shards(config.data, tmp_path / "out"))
    config = resolve(config, channels=1, train_images=images.rows("train"))
    rows = run(config, images, tmp_path / "run")
    assert "eval/effective_rank" in rows[3]
    assert not [name for name in rows[3] if "top1" in name]


def test_an_exact_ratio_trains_on_every_image(images, tmp_path):
    config = resolved(images, data__mix="1:3", data__labelled_fraction=0.2)
    rows = run(config, images, tmp_path)
    assert sorted(rows) == [1, 2, 3]


def test_a_profile_of_a_gpu_counts_each_region_once_and_as_the_host_ran_it():
    """There, kineto tells every region twice: of the host, and of the device."""

    def row(key, kind, host_us, device_us):
        return SimpleNamespace(
            key=key, device_type=SimpleNamespace(name=kind), count=1, cpu_time_total=host_us,
            self_cpu_time_total=host_us, self_device_time_total=device_us,
        )  # fmt: skip

    averages = [row(WHOLE, "CPU", 9000.0, 0.0), row("queries", "CPU", 3000.0, 0.0)]
    averages += [row("aten::mm", "CPU", 10.0, 4000.0), row("queries", "CUDA", 0.0, 5000.0)]
    averages += [row(WHOLE, "CUDA", 0.0, 8000.0), row("gemm_kernel", "CUDA", 0.0, 4000.0)]
    lines = table(averages, 1, torch.device("cuda")).splitlines()
    assert lines[0] == "1 steps on cuda, 9.00 ms each"
    said = {line[:28].strip(): line.split()[-2:] for line in lines}
    assert said["queries"] == ["3.000", "33.3%"]
    assert said["the rest"] == ["6.000", "66.7%"]
    assert said["aten::mm"] == ["4.000", "44.4%"]
    assert "gemm_kernel" not in said


def test_a_resumed_run_profiles_its_own_first_epoch(images, tmp_path):
    config = resolved(images, optim__batch_size=40, epochs=2)
    run(config, images, tmp_path, stop_after=1)
    session = Session(tmp_path, profile=tmp_path / "profile")
    run_loop(config, images, session, find_checkpoint(tmp_path))
    assert "backward" in (tmp_path / "profile" / "table.txt").read_text()


def test_a_profile_says_of_each_region_of_a_step_what_it_takes(images, tmp_path):
    # three steps an epoch: fewer than the profiler would like
    config = resolved(images, optim__batch_size=40, epochs=1)
    run_loop(config, images, Session(tmp_path, profile=tmp_path / "profile"))
    lines = (tmp_path / "profile" / "table.txt").read_text().splitlines()
    shares = {line[:28].strip(): float(line.split()[-1].rstrip("%")) for line in lines[3:13]}
    assert tuple(shares) == (*REGIONS, "the rest")
    assert shares["backward"] > 0
    assert sum(shares.values()) == pytest.approx(100, abs=1)
    trace = json.loads((tmp_path / "profile" / "trace.json").read_text())
    assert {"queries", "losses"} <= {event.get("name") for event in trace["traceEvents"]}
