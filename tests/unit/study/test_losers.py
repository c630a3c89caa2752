"""What stays on the disk of the trials of a search, by its journal."""

from dataclasses import replace

import pytest
import torch

from raymoco.engine.checkpoint import Checkpoint, save_checkpoint
from raymoco.engine.disk import CheckpointSize
from raymoco.study.disk_plan import kept_trials, largest, sweep_in_words
from raymoco.study.journal.events import Ended, TrialState
from raymoco.study.journal.folder import SweepFolder
from raymoco.study.journal.ledger import load_ledger
from raymoco.study.losers import Losers
from raymoco.study.sweepfile.load import load_sweep
from tests.written_sweeps import SEARCH, write_ablation, write_repeats, write_search

KEEP = "run: {preset: digits, epochs: 5, checkpoint: {keep_trials: 3, losers: RULE}}"


def written(tmp_path, rule="encoder", text=SEARCH, trials=12):
    """A search that has ended, with a checkpoint of every trial."""
    text = text.replace("run: {preset: digits, epochs: 5}", KEEP.replace("RULE", rule))
    return with_checkpoints(write_search(tmp_path / "found", text, trials))


def with_checkpoints(folder):
    state = {"encoders.query.w": torch.ones(3), "queue.keys": torch.ones(1000)}
    for trial in load_ledger(folder / "journal.jsonl").all():
        place = SweepFolder(folder).checkpoints_of(trial.trial_id)
        save_checkpoint(place, Checkpoint({}, trial.epochs, state, {"state": {}}, {}), keep=1)
    return folder


def freed(folder, live=False):
    """Trials by what is left of them, after a sweep that did everything at once, or as it went."""
    sweep, ledger = load_sweep(folder / "sweep.yaml"), load_ledger(folder / "journal.jsonl")
    said: list[str] = []
    losers = Losers(sweep, folder, ledger, said.append)
    if live:
        for trial in ledger.all():
            losers.take(Ended(trial_id=trial.trial_id, state=trial.state, reason=""))
    else:
        losers.begin()
    losers.finish()
    left = {}
    for place in (folder / "checkpoints").iterdir():
        names = [path.name.partition("-")[0] for path in place.iterdir()]
        left.setdefault(names[0] if names else "none", set()).add(place.name)
    return left, said, ledger


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("rule", ["encoder", "none"])
def test_the_best_and_the_confirming_trials_stay_whole(tmp_path, rule, live):
    left, said, ledger = freed(written(tmp_path, rule), live)
    scored = [trial for trial in ledger.search_trials if trial.completed]
    best = sorted(scored, key=lambda trial: trial.score("eval/knn_top1"))[-3:]
    confirming = {trial.trial_id for trial in ledger.all() if trial.cell}
    assert confirming
    assert left["epoch"] == confirming | {trial.trial_id for trial in best}
    assert len(left[rule]) == 12 - 3
    what = "the query encoder only" if rule == "encoder" else "no checkpoint"
    assert said == [
        f"disk     9 trainings keep {what}: they are not among the best 3 "
        "(checkpoint.keep_trials, checkpoint.losers)"
    ]


def test_nothing_is_freed_twice_or_where_all_stays(tmp_path):
    folder = written(tmp_path / "once")
    assert freed(folder)[1]
    assert freed(folder)[1] == []
    left, said, _ = freed(written(tmp_path / "all", "all"))
    assert (list(left), said) == (["epoch"], [])
    left, said, _ = freed(with_checkpoints(write_ablation(tmp_path / "ablation")))
    assert (list(left), said) == (["epoch"], [])


def test_those_to_be_confirmed_stay_whole_even_if_they_are_more(tmp_path):
    sweep = load_sweep(written(tmp_path, text=SEARCH.replace("top: 2", "top: 7")) / "sweep.yaml")
    assert kept_trials(sweep) == 7


def test_a_proposal_stays_with_all_its_repeats(tmp_path):
    folder = write_repeats(tmp_path / "found")
    with_checkpoints(folder)
    sweep = load_sweep(folder / "sweep.yaml")
    one = sweep.base.with_values({"checkpoint.keep_trials": 1})
    search = sweep.search.model_copy(update={"confirm": None})
    losers = Losers(
        replace(sweep, base=one, spec=search),
        folder,
        load_ledger(folder / "journal.jsonl"),
        lambda _: None,
    )
    losers.begin()
    losers.finish()
    whole = {path.parent.name for path in (folder / "checkpoints").glob("*/epoch-*.pt")}
    assert whole == {"t000-r0", "t000-r1", "t000-r2"}


def test_a_trial_that_was_stopped_may_still_write_and_is_freed_at_the_end(tmp_path):
    folder = written(tmp_path)
    sweep, ledger = load_sweep(folder / "sweep.yaml"), load_ledger(folder / "journal.jsonl")
    losers = Losers(sweep, folder, ledger, lambda _: None)
    pruned = next(t.trial_id for t in ledger.all() if t.state == TrialState.PRUNED)
    best = [trial for trial in ledger.search_trials if trial.completed][:3]
    for trial in best:
        losers.take(Ended(trial_id=trial.trial_id, state=trial.state, reason=""))
    losers.take(Ended(trial_id=pruned, state=TrialState.PRUNED, reason=""))
    assert list((folder / "checkpoints" / pruned).glob("epoch-*.pt"))
    losers.finish()
    assert [path.name[:7] for path in (folder / "checkpoints" / pruned).iterdir()] == ["encoder"]


def test_a_sweep_of_an_older_version_keeps_all_that_it_has(tmp_path):
    folder = write_search(tmp_path / "found")
    file = folder / "sweep.yaml"
    resolved = load_sweep(file).spec.to_yaml()
    assert "losers: encoder" in resolved
    old = "\n".join(
        line for line in resolved.split("\n") if "losers" not in line and "keep_trials" not in line
    )
    file.write_text(old)
    assert load_sweep(file).base.checkpoint.losers == "all"


def test_a_sweeps_disk_is_counted_with_the_largest_of_its_trials(tmp_path):
    sweep = load_sweep(written(tmp_path) / "sweep.yaml")
    sizes = {"channels": 1, "image_size": 8, "classes": 10}
    size = largest(sweep, sweep.base, **sizes)
    small = sweep.base.with_values({"method.queue_size": 64})
    only = replace(sweep, spec=sweep.search.model_copy(update={"search": {}}))
    assert size.whole - largest(only, small, **sizes).whole > 128 * 128 * 4
    needed, words = sweep_in_words(sweep, CheckpointSize(1000, 10))
    # the best 3, 9 that confirm, 2 gangs with 3 each meanwhile; 37 of 40 trials lose
    assert needed == (3 + 9 + 6) * 1000 + 37 * 10
    assert words == "checkpoints of 12 trials x 1.0 kB, 37 others x 10 bytes, 18.4 kB at most"
    assert sweep_in_words(sweep, CheckpointSize(1000, 10), ended=49)[0] == 0


def test_a_search_of_few_trials_keeps_all_of_them(tmp_path):
    left, said, _ = freed(written(tmp_path, trials=3))
    assert (list(left), said) == (["epoch"], [])
