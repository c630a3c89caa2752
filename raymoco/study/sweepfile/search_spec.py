"""The keys of a search's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, PrivateAttr, model_validator

from raymoco.config import Count
from raymoco.study.sweepfile.axis import Axis
from raymoco.study.sweepfile.sampler_options import Sampler
from raymoco.study.sweepfile.scheduler_options import Scheduler
from raymoco.study.sweepfile.sections import Budget, Confirm, Objective
from raymoco.study.sweepfile.sweep import SweepSpec


def _several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _as_written(objectives: tuple[Objective, ...]) -> Any:
    written = [objective.model_dump() for objective in objectives]
    return written if len(written) > 1 else written[0]


def _describe_objective(schema: dict[str, Any]) -> None:
    item = schema.pop("items")
    schema["anyOf"] = [item, {"type": schema.pop("type"), "items": item, "minItems": 1}]


class SearchSpec(SweepSpec):
    """A search: Optuna chooses the trials.

    `enqueue` has points to try first, whole or partial; `enqueue_default` says whether the run as
    it stands comes before them: true requires it, false leaves it out, and without the key it comes
    where the axes allow it. `warm_start` is an earlier sweep whose trials the sampler learns from.
    Each proposal is trained with `repeats` seeds, and judged by its mean; the budget counts
    proposals. A point of the axes is trained once.
    """

    kind: Literal["search"]
    budget: Budget = Budget()
    search: Annotated[dict[str, Axis], Field(min_length=1)]
    objectives: Annotated[
        tuple[Objective, ...],
        Field(alias="objective", json_schema_extra=_describe_objective),
        BeforeValidator(_several),
        PlainSerializer(_as_written),
    ] = (Objective(),)
    repeats: Count = 1
    sampler: Sampler = Sampler()
    scheduler: Scheduler = Scheduler()
    enqueue: tuple[Annotated[dict[str, Any], Field(min_length=1)], ...] = ()
    enqueue_default: bool | None = None
    warm_start: Annotated[str, Field(min_length=1)] | None = None
    confirm: Confirm | None = None
    _points: int | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _fits_together(self) -> SearchSpec:
        metrics = [objective.metric for objective in self.objectives]
        if not metrics:
            raise ValueError("objective is an empty list, but a search needs one")
        if len(set(metrics)) != len(metrics):
            raise ValueError(f"objective is {metrics}, but each metric must be there once")
        if len(metrics) > 1:
            if self.scheduler.name != "none":
                raise ValueError(
                    f"scheduler is {self.scheduler.name}, but with several objectives it must be "
                    "none: no single one says which trial is worse"
                )
            if self.budget.target is not None:
                raise ValueError("budget.target needs one objective, but there are several")
        return self

    @property
    def objective(self) -> Objective:
        """The first objective, by which tables are ranked and best.yaml is chosen."""
        return self.objectives[0]

    @property
    def tuned_on(self) -> Objective:
        """The objective by which settings are chosen while trials run."""
        return self.objective

    @property
    def question(self) -> str:
        """Empty: a search has no question."""
        return ""

    @property
    def axes(self) -> list[str]:
        """The config keys that vary."""
        return list(self.search)

    @property
    def sampled(self) -> dict[str, Axis]:
        """The axes of the search."""
        return self.search

    @property
    def points(self) -> int | None:
        """The number of different points on the axes; None: endless, or never repeated.

        It depends on the run, so it is known once the file is checked.
        """
        return self._points

    def with_points(self, points: int | None) -> SearchSpec:
        """Return the spec of a space that has so many points."""
        known = self.model_copy()
        known._points = points
        return known

    @property
    def proposals(self) -> int:
        """The budget, or the number of points if that is smaller: each is trained once."""
        return min(self.budget.trials, self.points or self.budget.trials)

    @property
    def trials(self) -> int:
        """The trainings of all proposals, at most: every repeat of each."""
        return self.proposals * self.repeats

    @property
    def confirmations(self) -> int:
        """The best, the default and the baselines, with every fresh seed."""
        if self.confirm is None:
            return 0
        return (self.confirm.top + 1 + len(self.confirm.against)) * len(self.confirm.seeds)

    def phase_of(self, cell: str, phase: str) -> str:
        """Return a trial's phase, by its cell and phase in the journal: `search`, `confirm`."""
        return phase or ("confirm" if cell else "search")

    def extremes(self, base: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """Return the values that every run must accept, with a description of each."""
        space = self.space(base)
        ends = [
            (f"search.{key}", {**space.witness(key), key: value})
            for key, axis in self.search.items()
            for value in axis.extremes
        ]
        against = self.confirm.against if self.confirm else {}
        return ends + [(f"confirm.against.{name}", dict(v)) for name, v in against.items()]

    def count_in_words(self, epochs: int) -> str:
        """Describe the number of trials and epochs, for `--dry-run`."""
        many = f"{self.proposals} proposals x {self.repeats} seeds" if self.repeats > 1 else ""
        text = f"{many or self.trials} of {epochs} epochs, and {self.confirmations} to confirm"
        against = self.confirm.against if self.confirm else {}
        return f"{text}, also {' and '.join(against)}" if against else text
