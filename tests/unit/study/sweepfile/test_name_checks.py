"""Names of factors, levels and baselines that no file can have."""

import pytest

from raymoco.errors import ConfigError
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.sweepfile.name_checks import LONGEST_ID, check_trial_names

KEYS = {
    "A": ("optim.lr", 0.1, 0.2),
    "B": ("method.temperature", 0.1, 0.2),
    "C": ("optim.weight_decay", 0, 0.1),
    "D": ("method.key_momentum", 0.9, 0.99),
}


def ablation(tmp_path, longer=0, more="", letter="l"):
    """One whose longest trial has a name of `longer` bytes more than there may be."""
    first = 185 + longer
    levels = "".join(
        f"  {factor}: {{{letter * (first if factor == 'A' else 10)}: {{{key}: {a}}}, "
        f"b: {{{key}: {b}}}}}\n"
        for factor, (key, a, b) in KEYS.items()
    )
    path = tmp_path / "s.yaml"
    head = "kind: ablation\nname: s\nrun: {preset: digits}\nseeds: [0, 1]\nfactors:\n"
    path.write_text(head + levels + more)
    return load_sweep(path)


def longest(sweep):
    return max(len(f"{cell.slug}-s1".encode()) for cell in sweep.ablation.cells)


def test_names_of_levels_that_no_file_can_have_are_refused_with_the_bound(tmp_path):
    room = LONGEST_ID - longest(ablation(tmp_path))
    check_trial_names(ablation(tmp_path, room))
    with pytest.raises(ConfigError, match=r"242 bytes, 'A=l.* but it may have 241") as refused:
        check_trial_names(ablation(tmp_path, room + 1))
    assert "shorten the names of factors or levels" in str(refused.value)
    tune = "tune: {axes: {optim.momentum: {uniform: [0.5, 0.9]}}}\n"
    with pytest.raises(ConfigError, match="bytes, 'tune-A"):
        check_trial_names(ablation(tmp_path, room, tune))


def test_bytes_count_and_not_letters(tmp_path):
    with pytest.raises(ConfigError, match="it may have 241"):
        check_trial_names(ablation(tmp_path, -60, letter="\u00e9"))


def test_a_name_of_a_baseline_that_no_file_can_have_is_refused(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "kind: search\nname: s\nrun: {preset: digits}\n"
        "search: {optim.lr: {uniform: [0.1, 0.2]}}\n"
        f"confirm: {{against: {{{'x' * 240}: {{optim.momentum: 0.2}}}}}}\n"
    )
    with pytest.raises(ConfigError, match=r"confirm\.against\.xxx.* may have 241"):
        check_trial_names(load_sweep(path))
