"""Conformance suites: what raymoco asks of somebody's code, as functions for their tests.

A failure is an AssertionError that says in a sentence what is wrong.
"""

from raymoco.testing.samplers import check_sampler
from raymoco.testing.schedulers import check_scheduler
from raymoco.testing.sources import check_source
from raymoco.testing.views import check_views

__all__ = ["check_sampler", "check_scheduler", "check_source", "check_views"]
