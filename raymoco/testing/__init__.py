"""Conformance suites: what raymoco's own parts are tested with, for those that you add.

A failure is an AssertionError that says in a sentence what is wrong.
"""

from raymoco.testing.protocols import check_protocol
from raymoco.testing.trackers import HeldRun, check_tracker

__all__ = ["HeldRun", "check_protocol", "check_tracker"]
