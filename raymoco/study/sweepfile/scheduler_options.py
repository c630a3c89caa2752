"""The `scheduler` section: the scheduler that ends trials early, and its options."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from raymoco.choices import SCHEDULERS
from raymoco.config import Count, Fraction, StrictModel
from raymoco.study.sweepfile.registered import check_options_of, is_ours, load_code, name_type

NOBODY = "none"
BESIDE = (
    "grace_epochs",
    "reduction_factor",
    "min_trials",
    "every_epochs",
    "quantile",
    "resample",
)


def _describe_options(schema: dict[str, Any]) -> None:
    """Describe in the JSON Schema which options belong to which name."""
    schema["allOf"] = []
    for name in SCHEDULERS.choices:
        options = SCHEDULERS.load(name).Options.model_json_schema()
        options["properties"] = {
            key: value for key, value in options.get("properties", {}).items() if key not in BESIDE
        }
        options["required"] = [key for key in options.get("required", ()) if key not in BESIDE]
        known = {"properties": {"name": {"const": name}}}
        named = known if name == NOBODY else {**known, "required": ["name"]}  # none is the default
        schema["allOf"].append({"if": named, "then": {"properties": {"options": options}}})


class Scheduler(StrictModel):
    """The scheduler that ends trials early; epochs are those of the run.

    `reduction_factor` is an option of asha. `min_trials` is one of median: how many other trials
    must have come as far. pbt trains all `budget.trials` at once: every `every_epochs` the worst
    `quantile` of them continues from checkpoints and values of the best; a value is mutated, or
    with probability `resample` drawn again. `options` are those of any other scheduler.
    """

    model_config = ConfigDict(json_schema_extra=_describe_options)

    name: name_type(SCHEDULERS) = NOBODY  # type: ignore[valid-type]
    grace_epochs: Count = 5
    reduction_factor: Annotated[float, Field(gt=1)] = 3
    min_trials: Count = 3
    every_epochs: Count = 5
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    resample: Fraction = 0.25
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _options_in_their_place(self) -> Scheduler:
        if is_ours(SCHEDULERS, self.name):
            for key in self.options:
                if key in BESIDE:
                    raise ValueError(f"options.{key} is given: set scheduler.{key} instead")
            return self
        for key in BESIDE:
            if key in self.model_fields_set:
                raise ValueError(
                    f"{key} is given, but the options of {self.name} belong under options"
                )
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        if not is_ours(SCHEDULERS, self.name):
            return {key: value for key, value in values.items() if key not in BESIDE}
        if not self.options:  # a file of version 0.1 has no such key, and must not change
            del values["options"]
        return values

    @property
    def population(self) -> bool:
        """Whether all trials train at once, in rounds, with values that change during training."""
        choice = SCHEDULERS.find(self.name)
        return choice is not None and choice.population

    @property
    def stops(self) -> bool:
        """Whether a trial may end before its last epoch."""
        return self.name != NOBODY and not self.population

    @property
    def code(self) -> Any:
        """Create what the name stands for: a SearchScheduler, or the rules of a population.

        Raises:
            ConfigError: the name stands for nothing, or for something else than a scheduler.
        """
        return load_code(SCHEDULERS, self.name)

    @property
    def chosen(self) -> Any:
        """The options with their defaults, checked by the scheduler's own model.

        Raises:
            ConfigError: an option that it does not have, or a value that it does not take.
        """
        code = self.code
        given = dict(self.options)
        if is_ours(SCHEDULERS, self.name):
            given |= {k: getattr(self, k) for k in code.Options.model_fields if k in BESIDE}
        return check_options_of(code, given, ("scheduler", "options"), self.name)
