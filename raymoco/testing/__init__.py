"""Conformance suites: what raymoco's own parts are tested with, for those that you add."""

from raymoco.testing.samplers import check_sampler
from raymoco.testing.schedulers import check_scheduler

__all__ = ["check_sampler", "check_scheduler"]
