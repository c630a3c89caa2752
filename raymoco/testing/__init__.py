"""Conformance suites for the tests of third-party code that a config names by import path.

Each function runs every check of its kind, needs no test framework, and raises an AssertionError
that says in a sentence what is wrong: `check_loss("mylab.losses:Triplet", margin=0.2)`.
docs/extending.md has an example of each.
"""

from raymoco.testing.backbones import check_backbone
from raymoco.testing.losses import check_loss
from raymoco.testing.protocols import check_protocol
from raymoco.testing.samplers import check_sampler
from raymoco.testing.schedulers import check_scheduler
from raymoco.testing.sources import check_source
from raymoco.testing.terms import check_term
from raymoco.testing.trackers import HeldRun, check_tracker
from raymoco.testing.views import check_views

__all__ = [
    "HeldRun",
    "check_backbone",
    "check_loss",
    "check_protocol",
    "check_sampler",
    "check_scheduler",
    "check_source",
    "check_term",
    "check_tracker",
    "check_views",
]
