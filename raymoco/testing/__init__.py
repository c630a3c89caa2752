"""Conformance suites: what raymoco's own parts are tested with, for those that you add.

A failure is an AssertionError that says in a sentence what is wrong.
"""

from raymoco.testing.protocols import check_protocol

__all__ = ["check_protocol"]
