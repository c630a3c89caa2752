"""RunConfig: one training, every knob of it, frozen and checked as a whole.

The keys, their defaults and their meaning are a contract with the user's YAML files. `auto` and
`null` values are resolved once, in the driver, so that what a worker sees, and what config.yaml
says, is what ran.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from raymoco.choices import DEFAULT_PROTOCOLS
from raymoco.config.sections import (
    CheckpointConfig,
    Count,
    DataConfig,
    EvalConfig,
    MethodConfig,
    ModelConfig,
    OptimConfig,
    ScaleConfig,
    Seed,
    StrictModel,
    TrackingConfig,
)
from raymoco.errors import ConfigError
from raymoco.yamlfile import Document, dotted_keys, dump_yaml, nearest, validate

# what a run can change on its way: it decides no shape, no image and no state of the optimizer
CHANGEABLE = (
    "optim.lr",
    "method.temperature",
    "method.key_momentum",
    "method.cross_consistency.weight",
    "method.cross_consistency.temperature",
    "method.negative_uniformity.weight",
    "method.negative_uniformity.temperature",
)
# what does not decide the result of a run: a resume may change it, a name does not tell of it
RESULT_NEUTRAL = {"name", "output", "tracking", "scale", "checkpoint"}


class RunConfig(StrictModel):
    """One training: one source, one method, one seed. `raymoco schema run` prints its schema."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    method: MethodConfig = MethodConfig()
    optim: OptimConfig = OptimConfig()
    epochs: Count = 40
    # after so many epochs, these keys have other values: how a member of a population was trained
    changes: dict[Annotated[int, Field(ge=0)], dict[str, Any]] = Field(default_factory=dict)
    seed: Seed = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    eval: EvalConfig = EvalConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    scale: ScaleConfig = ScaleConfig()
    tracking: TrackingConfig = TrackingConfig()
    name: Annotated[str, Field(pattern=r"^[\w][\w.+=-]*$")] | None = None
    output: str = "runs"

    @model_validator(mode="after")
    def _fits_together(self) -> RunConfig:
        batch, workers = self.optim.batch_size, self.scale.workers
        if batch % workers:
            raise ValueError(
                f"optim.batch_size is {batch}, but must be a multiple of scale.workers, {workers}"
            )
        mix = self.data.mix
        if mix != "natural" and (batch // workers) % sum(map(int, mix.split(":"))):
            raise ValueError(
                f"data.mix is {mix}, so the batch of a worker, {batch // workers}, must be a "
                f"multiple of {sum(map(int, mix.split(':')))}"
            )
        method = self.method
        if method.batch_norm == "split":
            if (batch // workers) % method.bn_groups:
                raise ValueError(
                    f"method.bn_groups is {method.bn_groups}, but must divide the batch of a "
                    f"worker, {batch // workers}"
                )
            if batch // workers == method.bn_groups:
                raise ValueError(
                    "method.bn_groups leaves one image a group: nothing to normalize by"
                )
        if self.optim.warmup_epochs >= self.epochs:
            raise ValueError(
                f"optim.warmup_epochs is {self.optim.warmup_epochs:g}, but must be below epochs, "
                f"{self.epochs}"
            )
        if method.loss == "cross_entropy":
            if method.cross_consistency.weight or method.negative_uniformity.weight:
                raise ValueError(
                    "method.loss is cross_entropy, which has no keys: the weights of "
                    "cross_consistency and negative_uniformity must be 0"
                )
            if self.data.labelled_fraction == 0:
                raise ValueError("method.loss is cross_entropy, but data.labelled_fraction is 0")
        self._check_changes()
        return self

    def _check_changes(self) -> None:
        for epoch, values in sorted(self.changes.items()):
            if epoch >= self.epochs:
                raise ValueError(f"changes has epoch {epoch}, but must be below {self.epochs}")
            for key in values:
                if key not in CHANGEABLE:
                    raise ValueError(
                        f"changes.{epoch}: '{key}' cannot change in a run"
                        f"{nearest(key, CHANGEABLE)} There are: {', '.join(CHANGEABLE)}"
                    )
            try:
                self.at(epoch)
            except ConfigError as error:
                raise ValueError(f"changes.{epoch}: {error}") from None

    def at(self, epoch: int) -> RunConfig:
        """The config as it stands when so many epochs are done: what `changes` said until then."""
        values: dict[str, Any] = {}
        for since in sorted(self.changes):
            if since <= epoch:
                values |= self.changes[since]
        return self.with_values({**values, "changes": {}}) if self.changes else self

    def with_values(self, values: Mapping[str, Any]) -> RunConfig:
        """This config with dotted keys set: `{"method.temperature": 0.2}`.

        Raises:
            ConfigError: an unknown key, or a value that the key refuses.
        """
        document = Document(self.model_dump())
        for key, value in values.items():
            document.set(key, value, "")
        return validate(RunConfig, document)

    def digest(self) -> str:
        """Eight hex digits of what decides the result: where and on what it runs is left out."""
        decisive = self.model_dump(exclude=RESULT_NEUTRAL)
        if not self.changes:  # most runs: their names are as before there were any
            del decisive["changes"]
        if self.eval.protocols == list(DEFAULT_PROTOCOLS):  # as in every run of version 0.1
            del decisive["eval"]["protocols"]
        text = json.dumps(decisive, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def run_name(self) -> str:
        """The given name, or source-loss-seed and a short hash."""
        return self.name or f"{self.data.source}-{self.method.loss}-{self.seed}-{self.digest()}"

    def to_yaml(self) -> str:
        """The whole config as YAML that `raymoco train` reads back."""
        return dump_yaml(self.model_dump())


FIXED_KEYS = (
    "scale",
    "tracking",
    "output",
    "name",
    "seed",
    "changes",
    "data.source",
    "data.root",
    "data.limit",
    "data.image_size",
    "data.columns",
    "eval.protocols",
)


def axis_keys() -> list[str]:
    """Every dotted key that a sweep may vary: all but where and on what a run is executed."""
    keys = dotted_keys(RunConfig)
    leaves = [key for key in keys if not any(other.startswith(f"{key}.") for other in keys)]
    return [
        key for key in leaves if not any(key == f or key.startswith(f"{f}.") for f in FIXED_KEYS)
    ]
