"""The learning rate at the points where it can be told by hand."""

from __future__ import annotations

import pytest

from raymoco.errors import ConfigError
from raymoco.ssl.schedules import learning_rate


@pytest.mark.parametrize(
    ("progress", "schedule", "expected"),
    [
        (0, "cosine", 0.0),
        (1, "cosine", 0.2),
        (2, "cosine", 0.4),
        (6, "cosine", 0.2),
        (10, "cosine", 0.0),
        (0.5, "constant", 0.1),
        (7, "constant", 0.4),
        (10, "constant", 0.4),
    ],
)
def test_the_rate_warms_up_linearly_and_then_follows_its_schedule(progress, schedule, expected):
    rate = learning_rate(progress, base=0.4, epochs=10, warmup_epochs=2, schedule=schedule)
    assert rate == pytest.approx(expected, abs=1e-12)


def test_without_warm_up_the_rate_starts_at_its_base():
    assert learning_rate(0, base=0.06, epochs=40, warmup_epochs=0, schedule="cosine") == 0.06


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": 0.0}, "base is 0.0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"warmup_epochs": 10}, "warmup_epochs is 10, but must be at least 0 and below epochs, 10"),
        ({"warmup_epochs": -1}, "warmup_epochs is -1"),
        ({"schedule": "step"}, "schedule is 'step', but must be one of: cosine, constant"),
        ({"progress_epochs": -0.1}, "progress_epochs is -0.1"),
        ({"progress_epochs": 10.5}, "progress_epochs is 10.5, but must be from 0 to epochs, 10"),
    ],
)
def test_an_argument_out_of_range_is_refused(change, message):
    arguments = {"progress_epochs": 1.0, "base": 0.1, "epochs": 10, "warmup_epochs": 0} | {
        "schedule": "cosine"
    }
    with pytest.raises(ConfigError, match=message):
        learning_rate(**(arguments | change))
