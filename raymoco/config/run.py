"""RunConfig: all settings of one run, frozen and checked as a whole.

The keys, their defaults and their meaning are a contract with the user's YAML files. The driver
resolves `auto` and `null` values once, so that workers and config.yaml have the values that ran.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from raymoco.choices import LOSSES
from raymoco.config.effective import effective, identity
from raymoco.config.named import file_name_of
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
    TrackingConfig,
)
from raymoco.config.strict import StrictModel
from raymoco.config.views import is_ours, written_out
from raymoco.errors import ConfigError
from raymoco.registry import name_of
from raymoco.yamlfile import Document, dotted_keys, dump_yaml, flatten, nearest, validate

# keys that may change during a run: they affect no shape, no choice of images, no optimizer state.
# The weights of `method.terms` are changeable too, see `changeable_keys`
CHANGEABLE = (
    "optim.lr",
    "method.temperature",
    "method.key_momentum",
    "method.cross_consistency.weight",
    "method.cross_consistency.temperature",
    "method.negative_uniformity.weight",
    "method.negative_uniformity.temperature",
)


class RunConfig(StrictModel):
    """One run: one source, one method, one seed. `raymoco schema run` prints its schema."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    method: MethodConfig = MethodConfig()
    optim: OptimConfig = OptimConfig()
    epochs: Count = 40
    # by epoch: keys that have other values from then on, as for a member of a population
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
        loss, facts = name_of(method.loss), LOSSES.facts(method.loss)
        if not facts.has_keys and any(method.weights().values()):
            raise ValueError(
                f"method.loss is {loss}, which has no keys: the weights of "
                f"{' and '.join(method.weights())} must be 0"
            )
        if facts.needs_labels and self.data.labelled_fraction == 0:
            raise ValueError(f"method.loss is {loss}, but data.labelled_fraction is 0")
        self._check_changes()
        return self

    def _check_changes(self) -> None:
        for epoch, values in sorted(self.changes.items()):
            if epoch >= self.epochs:
                raise ValueError(f"changes has epoch {epoch}, but must be below {self.epochs}")
            for key in values:
                changeable = changeable_keys(self)
                if key not in changeable:
                    raise ValueError(
                        f"changes.{epoch}: '{key}' cannot change in a run"
                        f"{nearest(key, changeable)} There are: {', '.join(changeable)}"
                    )
            try:
                self.at(epoch)
            except ConfigError as error:
                raise ValueError(f"changes.{epoch}: {error}") from None

    def at(self, epoch: int) -> RunConfig:
        """The config after so many epochs, with all `changes` up to then applied."""
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
        # a whole before its options: data.views before data.views.flip
        for key in sorted(values, key=lambda key: key.count(".")):
            document.set(key, values[key], "")
        return validate(RunConfig, document)

    def flat(self) -> dict[str, Any]:
        """Every value by dotted key; a name with options is there whole and option by option.

        The parameters of raymoco's views are there too, as the recipe has them where none is set.
        """
        found = flatten(self.model_dump())
        if is_ours(self.data.views):
            views = written_out(self.data.views, name_of(self.data.source))
            found |= {f"data.views.{key}": value for key, value in views.items()}
        wholes = {
            "method.loss": self.method.loss,
            "model.backbone": self.model.backbone,
            "data.source": self.data.source,
            "data.views": self.data.views,
        }
        return found | {key: value for key, value in wholes.items() if key not in found}

    def effective(self, *, look: bool = False) -> dict[str, Any]:
        """The settings that can affect the result, by dotted key: runs that agree here train alike.

        It leaves out settings that never affect it (where and on what a run is executed) and those
        without effect given the others (the temperature of a term of weight 0).

        Args:
            look: import third-party code to see what it uses; otherwise assume that it uses
                everything.
        """
        return effective(self, look=look)

    def digest(self) -> str:
        """Eight hex digits, a hash of the settings that can affect the result."""
        text = json.dumps(identity(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def run_name(self) -> str:
        """The given name, or source-loss-seed and a short hash."""
        source, loss = file_name_of(self.data.source), file_name_of(self.method.loss)
        return self.name or f"{source}-{loss}-{self.seed}-{self.digest()}"

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
    "checkpoint.keep_trials",
    "checkpoint.losers",
    "data.source",
    "data.root",
    "data.limit",
    "data.image_size",
    "data.columns",
    "data.labels_csv",
    "data.background",
    "data.value_range",
    "data.duplicates",
    "data.view_size",
    "eval.protocols",
)


def axis_keys(base: RunConfig | None = None) -> list[str]:
    """Every dotted key that a sweep may vary: all but those that say where a run is executed.

    Args:
        base: the run that is varied: the keys of its terms, and the options of third-party code
            that it names, can be varied too.
    """
    keys = dotted_keys(RunConfig)
    leaves = [key for key in keys if not any(other.startswith(f"{key}.") for other in keys)]
    leaves.append("data.views")  # a word alone, or the keys below it
    if base is not None:
        leaves += [key for key in flatten(base.model_dump()) if key not in leaves]
    return [
        key for key in leaves if not any(key == f or key.startswith(f"{f}.") for f in FIXED_KEYS)
    ]


def changeable_keys(config: RunConfig) -> tuple[str, ...]:
    """Every dotted key that `changes` may set in this config, and that a population may mutate."""
    terms = config.method.terms
    return (*CHANGEABLE, *(f"method.terms.{name}.weight" for name in terms))
