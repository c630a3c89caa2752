"""Torch threads of a worker: no more than it was given, nor than the machine can serve."""

import pytest

from raymoco.config import ScaleConfig
from raymoco.engine import cluster


@pytest.mark.parametrize(
    ("cpus", "declared", "threads"),
    [
        (1, 3, 1),
        (2, 3, 2),  # the third is Ray Data's
        (4, 9, 4),
        (15, 16, 8),  # no more than there are
        (2, 17, 1),  # 8 workers x 2 on 8 cores
        (4, 17, 2),  # 4 workers x 4
        (0.5, 9, 1),
        (2, None, 2),
    ],
)
def test_threads_times_workers_do_not_exceed_the_cores(monkeypatch, cpus, declared, threads):
    monkeypatch.setattr(cluster, "cores", lambda: 8)
    assert cluster.threads_per_worker(ScaleConfig(cpus_per_worker=cpus), declared) == threads
