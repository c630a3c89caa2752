"""Whether a search tries the run as it stands, and what it says where it does not."""

import pytest

from raymoco.errors import ConfigError
from raymoco.study.journal.ledger import Ledger
from raymoco.study.proposals.population import open_population
from raymoco.study.proposals.repeats import open_proposals
from raymoco.study.report.write import report
from raymoco.study.sweepfile.default_trial import default_left_out
from raymoco.study.sweepfile.load import load_sweep, read_sweep
from tests.written_sweeps import SEARCH, write_search

INSIDE = """\
kind: search
name: s
run: {preset: digits, epochs: 6}
search: {optim.lr: {loguniform: [0.01, 1]}, method.key_momentum: {choice: [0.9, 0.99]}}
budget: {trials: 4}
"""
OUTSIDE = INSIDE.replace("[0.01, 1]", "[0.1, 1]")
LEFT_OUT = "optim.lr is 0.04, but its axis is log-uniform 0.1 to 1"


def loaded(folder, text, *overrides):
    (folder / "s.yaml").write_text(text)
    return load_sweep(folder / "s.yaml", overrides)


def first_of(sweep, folder):
    ledger = Ledger()
    return open_proposals(sweep, sweep.base, folder, ledger, ledger.apply).ask().values


def is_own(sweep, values):
    own = sweep.base.flat()
    return all(own[key] == value for key, value in values.items())


@pytest.mark.parametrize("said", [(), ("enqueue_default=true",)])
def test_the_run_as_it_stands_comes_first_where_the_axes_allow_it(tmp_path, said):
    sweep = loaded(tmp_path, INSIDE, *said)
    assert default_left_out(sweep, sweep.base.flat()) == ""
    assert is_own(sweep, first_of(sweep, tmp_path))


def test_without_the_key_a_run_off_an_axis_is_left_out_and_that_is_told(tmp_path):
    sweep = loaded(tmp_path, OUTSIDE)
    said = default_left_out(sweep, sweep.base.flat())
    assert said == f"the run as it stands is none of the trials: {LEFT_OUT}"
    assert first_of(sweep, tmp_path)["optim.lr"] >= 0.1


def test_true_refuses_a_run_off_an_axis_with_the_value_and_the_bounds(tmp_path):
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, OUTSIDE + "enqueue_default: true\n")
    assert str(raised.value).endswith(f"s.yaml:6: enqueue_default is true, but {LEFT_OUT}.")


def test_false_leaves_it_out_and_that_is_told(tmp_path):
    sweep = loaded(tmp_path, INSIDE, "enqueue_default=false")
    assert "enqueue_default is false" in default_left_out(sweep, sweep.base.flat())
    assert not is_own(sweep, first_of(sweep, tmp_path))


def test_each_of_several_values_off_their_axes_is_named(tmp_path):
    sweep = loaded(tmp_path, OUTSIDE.replace("[0.9, 0.99]", "[0.5, 0.99]"))
    said = default_left_out(sweep, sweep.base.flat())
    momentum = "method.key_momentum is 0.9, but its axis is one of 0.5, 0.99"
    assert said.endswith(f"{LEFT_OUT} and {momentum}")


def test_an_axis_whose_condition_the_run_does_not_meet_does_not_matter(tmp_path):
    axes = "method.loss: {choice: [info_nce, unicon]}, method.positives: "
    axes += "{choice: [mean], when: {method.loss: unicon}}"
    text = INSIDE.replace("optim.lr: {loguniform: [0.01, 1]}", axes)
    for loss, told in (("info_nce", False), ("unicon", True)):
        sweep = loaded(tmp_path, text, f"run.method.loss={loss}", "run.method.positives=sum")
        assert ("method.positives is sum" in default_left_out(sweep, sweep.base.flat())) == told


def test_a_value_that_depends_on_the_images_is_judged_when_they_are_known(tmp_path):
    axis = "search={precision: {choice: [fp32]}}"
    sweep = loaded(tmp_path, INSIDE, axis, "enqueue_default=true")
    own = sweep.base.flat()
    assert (own["precision"], default_left_out(sweep, own)) == ("auto", "")
    with pytest.raises(ConfigError, match="enqueue_default is true, but precision is bf16"):
        default_left_out(sweep, own | {"precision": "bf16"})


def test_the_first_member_of_a_population_follows_the_key(tmp_path):
    pbt = "search: {optim.lr: {loguniform: [0.01, 1]}}\nscheduler: {name: pbt, every_epochs: 2}\n"
    text = "".join(line + "\n" for line in INSIDE.splitlines() if "search: {" not in line) + pbt
    for said, own in (("null", True), ("false", False)):
        sweep = loaded(tmp_path, text, f"enqueue_default={said}")
        population = open_population(sweep, sweep.base, tmp_path, Ledger(), print)
        first = population.next_round()[0].values
        assert (first["optim.lr"] == sweep.base.optim.lr) == own


def test_the_report_says_that_there_is_nothing_to_compare_with(tmp_path):
    written = write_search(tmp_path / "in")
    report(written)
    assert "as it stands is" not in (written / "report.md").read_text()
    far = SEARCH.replace("epochs: 5", "epochs: 5, method: {temperature: 0.9}")
    written = write_search(tmp_path / "out", far)
    report(written)
    said = "The run as it stands is none of the trials: method.temperature is 0.9, but its axis is"
    assert said in (written / "report.md").read_text()


def test_a_file_without_the_key_is_written_without_it(tmp_path):
    sweep = loaded(tmp_path, INSIDE)
    assert "enqueue_default" not in sweep.spec.to_yaml()  # folders of version 0.1 go on
    written = loaded(tmp_path, INSIDE, "enqueue_default=false").spec.to_yaml()
    (tmp_path / "again.yaml").write_text(written)
    assert read_sweep(tmp_path / "again.yaml").search.enqueue_default is False
