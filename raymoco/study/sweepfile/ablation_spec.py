"""The keys of an ablation's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from raymoco.config import Positive, Seed
from raymoco.metrics import EVAL_KNN, deciding, describe, is_measured, while_training
from raymoco.study.sweepfile.axis import Axis
from raymoco.study.sweepfile.cells import Cell, Design, expand_cells, name_levels
from raymoco.study.sweepfile.sections import (
    LevelName,
    Looks,
    Objective,
    Tune,
    each_once,
    require_metric,
)
from raymoco.study.sweepfile.sweep import SweepSpec


def _or_a_list(schema: dict[str, Any]) -> None:
    count = {"type": "integer", "minimum": 2}
    schema["anyOf"].append({"type": "array", "items": count, "minItems": 2})


class AblationSpec(SweepSpec):
    """An ablation: the file defines all cells, and each is trained with every seed.

    With `looks` the seeds are the most that are trained: it may end at an earlier look.
    """

    kind: Literal["ablation"]
    question: str = ""
    factors: Annotated[dict[str, dict[str, dict[str, Any]]], Field(min_length=1)]
    design: Design = "full"
    baseline: dict[str, LevelName] = Field(default_factory=dict)
    looks: Annotated[Looks | None, Field(json_schema_extra=_or_a_list)] = None
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    metric: str = EVAL_KNN
    # the direction: known for raymoco's metrics; a third-party protocol is asked before the sweep
    mode: Literal["max", "min"] | None = None
    margin: Positive | None = None
    tune: Tune | None = None

    _once = field_validator("seeds")(each_once)

    @model_validator(mode="before")
    @classmethod
    def _as_many_seeds_as_looks(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "seeds" in values or values.get("looks") is None:
            return values
        try:
            looks = Looks.model_validate(values["looks"])
        except ValidationError:  # its own key says so
            return values
        return {**values, "seeds": range(looks.most)}

    @field_validator("budget", mode="before")
    @classmethod
    def _has_no_count(cls, budget: Any) -> Any:
        for key in ("trials", "target"):
            if isinstance(budget, dict) and key in budget:
                raise ValueError(
                    f"{key} is for searches: an ablation runs all its cells with all its seeds"
                )
        return budget

    @field_validator("baseline", mode="before")
    @classmethod
    def _names_levels(cls, baseline: Any, info: ValidationInfo) -> Any:
        return name_levels(baseline, info.data.get("factors", {}))

    @model_validator(mode="after")
    def _fits_together(self) -> AblationSpec:
        require_metric(self.metric, deciding())
        if self.mode and not is_measured(self.metric) and self.mode != describe(self.metric).mode:
            raise ValueError(
                f"mode is {self.mode}, but of {self.metric} it is {describe(self.metric).mode}"
            )
        if self.looks is not None and len(self.seeds) != self.looks.most:
            raise ValueError(
                f"seeds are {len(self.seeds)}, but the last look is at {self.looks.most}: give as "
                "many, or leave seeds out"
            )
        for factor, levels in self.factors.items():
            if len(levels) < 2:
                raise ValueError(f"factors.{factor} has one level, but a factor needs two")
        if self.tune is not None:
            key = "seed" if self.tune.seeds is None else "seeds"
            for seed in self.tune.tunings:
                if seed in self.seeds:
                    raise ValueError(
                        f"tune.{key} {'is' if key == 'seed' else 'has'} {seed}, but must not be "
                        "one of the seeds: what was chosen by a seed cannot be judged by it"
                    )
            tunings = len(self.tune.tunings)
            looks = self.looks.seeds if self.looks is not None else ()
            if any(look % tunings for look in looks):
                raise ValueError(
                    f"looks are at {', '.join(map(str, looks))} seeds, but tune.seeds are "
                    f"{tunings}: each look must be at a multiple of {tunings}"
                )
            if len(self.seeds) % tunings:
                raise ValueError(
                    f"seeds are {len(self.seeds)}, but tune.seeds are {tunings}: each tuning needs "
                    f"as many seeds as the others, so their number must be a multiple of {tunings}"
                )
            for key in self.tune.axes:
                for factor, levels in self.factors.items():
                    if all(key in values for values in levels.values()):
                        raise ValueError(
                            f"tune.axes has {key}, but every level of the factor {factor} sets it: "
                            "no cell is left to tune"
                        )
                if self.tune.axes[key].when is not None:
                    raise ValueError(f"tune.axes.{key} has `when`, which is for searches")
        return self

    @property
    def objective(self) -> Objective:
        """The objective by which tables are ranked."""
        return _objective(self.metric, self.mode)

    @property
    def tuned_on(self) -> Objective:
        """The objective of `tune`: the ablation's metric, but never one of the test set."""
        metric = while_training(self.metric)
        return _objective(metric, self.mode if metric == self.metric else None)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objective, as a tuple."""
        return (self.objective,)

    @property
    def axes(self) -> list[str]:
        """The config keys that vary: those that a level sets, and those that are tuned."""
        return list(dict.fromkeys([*_factor_keys(self.factors), *self.sampled]))

    @property
    def sampled(self) -> dict[str, Axis]:
        """The axes that are tuned inside each cell."""
        return self.tune.axes if self.tune else {}

    def tuned_in(self, cell: Cell) -> dict[str, Axis]:
        """Return the axes that are tuned in a cell: those whose key none of its levels sets."""
        return {key: axis for key, axis in self.sampled.items() if key not in cell.values}

    @property
    def tuned_cells(self) -> list[Cell]:
        """The cells, each at the last end of the axes that are tuned in it, as an example.

        A weight that is tuned is not the run's own, which is often 0.
        """
        ends = {key: axis.extremes[-1] for key, axis in self.sampled.items()}
        return [Cell(cell.levels, {**ends, **cell.values}) for cell in self.cells]

    @property
    def trials(self) -> int:
        """Each cell with each seed, and the trials that tune the cells."""
        cells = self.cells
        tuned = [self.tuned_in(cell) for cell in cells]
        settings = [self.tune.settings(axes) for axes in tuned if axes] if self.tune else []
        again = len(self.tune.tunings) if self.tune else 0
        return len(cells) * len(self.seeds) + again * sum(settings)

    @property
    def tuning_of(self) -> dict[int, int] | None:
        """The tuning seed of each seed, in turn; None without several tunings.

        In turn, not in blocks: seeds that are added leave the others at their tuning, and a sweep
        that ends early has had all tunings.
        """
        if self.tune is None or len(self.tune.tunings) == 1:
            return None
        tunings = self.tune.tunings
        return {seed: tunings[n % len(tunings)] for n, seed in enumerate(self.seeds)}

    def phase_of(self, cell: str, phase: str) -> str:
        """Return a trial's phase, by its cell and phase in the journal: `tune`, `compare`."""
        return phase or "compare"

    def extremes(self, base: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """Return the values that every run must accept, with a description of each."""
        return [
            (f"the cell '{cell.name}'", {**cell.values, **end})
            for cell in self.cells
            for end in self.ends(cell)
        ]

    def ends(self, cell: Cell) -> list[dict[str, Any]]:
        """Return nothing, and each end of each axis that is tuned in a cell, one by one."""
        tuned = self.tuned_in(cell).items()
        return [{}, *({key: end} for key, axis in tuned for end in axis.extremes)]

    def count_in_words(self, epochs: int) -> str:
        """Describe the number of trials and epochs, for `--dry-run`."""
        seeds = str(len(self.seeds))
        if self.looks is not None:
            *fewer, most = map(str, self.looks.seeds)
            seeds = f"{', '.join(fewer)} or {most}"
        text = f"{len(self.cells)} cells x {seeds} seeds, "
        text += "epochs vary" if "epochs" in self.axes else f"{epochs} epochs each"
        if self.tune is None:
            return text
        again = f" with each of {len(self.tune.tunings)} tuning seeds" if self.tuning_of else ""
        untuned = sum(not self.tuned_in(cell) for cell in self.cells)
        but = f" but {untuned}" if untuned else ""
        return f"{text}, and {self.tune.trials} to tune each cell{but}{again}"

    @property
    def cells(self) -> list[Cell]:
        """The cells of the design, the baseline first."""
        return expand_cells(self.factors, self.design, self.baseline)


def _objective(metric: str, mode: Literal["max", "min"] | None) -> Objective:
    return Objective.model_construct(metric=metric, mode=mode or describe(metric).mode)


def _factor_keys(factors: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    levels = (values for levels in factors.values() for values in levels.values())
    return list(dict.fromkeys(key for values in levels for key in values))
