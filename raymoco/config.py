"""RunConfig: one training, every knob of it, frozen and checked.

The keys, their defaults and their meaning are a contract with the user's YAML files. `auto` and
`null` values are resolved once, in the driver, so that what a worker sees, and what config.yaml
says, is what ran.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from raymoco.errors import ConfigError
from raymoco.yamlfile import (
    Document,
    apply_overrides,
    dotted_keys,
    dump_yaml,
    merge,
    nearest,
    read_yaml,
    validate,
)

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
LossName = Literal["info_nce", "unicon", "sup_con_in", "sup_con_out", "cross_entropy"]
ConsistencyForm = Literal["batch_transpose", "batch_pairs", "queue_kl", "batch_kl"]
UniformityForm = Literal["kl", "entropy"]
BatchNormName = Literal["plain", "shuffle", "split", "sync"]


class Part(BaseModel):
    """A frozen mapping that refuses unknown keys, booleans for numbers, NaN and infinity."""

    # defaults are validated too: 1 and 1.0 would give one run two names
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_numbers(cls, value: Any, info: Any) -> Any:
        # pydantic would read `true` as 1; in a YAML file that is a slip, never a wish
        annotation = cls.model_fields[info.field_name].annotation
        if isinstance(value, bool) and "bool" not in str(annotation):
            raise ValueError(f"{str(value).lower()} is not a value for this key")
        return value


class ColumnsConfig(Part):
    """What somebody else's Parquet calls its columns; null: id, image, label."""

    id: str | None = None
    image: str | None = None
    label: str | None = None


class DataConfig(Part):
    """Which images, and which of their labels pre-training may see."""

    source: Literal[
        "digits", "fashion_mnist", "cifar10", "cifar100", "stl10", "folder", "shards"
    ] = "digits"
    root: str | None = None
    limit: Count | None = None
    image_size: Annotated[int, Field(ge=4)] | None = None
    labelled_fraction: Fraction = 1.0
    labelled_list: str | None = None
    label_seed: int | None = None
    mix: Annotated[str, Field(pattern=r"^(natural|[1-9]\d*:[1-9]\d*)$")] = "natural"
    views: Literal["auto", "glyph", "grey", "colour"] = "auto"
    cache: Literal["auto", "memory", "stream"] = "auto"
    columns: ColumnsConfig = ColumnsConfig()


class ProjectorConfig(Part):
    """The head between the features and the sphere: 1 layer is MoCo v1's, 2 are MoCo v2's."""

    layers: Annotated[int, Field(ge=1, le=3)] = 2
    hidden: Count = 64
    dim: Annotated[int, Field(ge=2)] = 128


class ModelConfig(Part):
    """The backbone, by name, and its projector."""

    backbone: str = "resnet8"
    width: Count = 16
    projector: ProjectorConfig = ProjectorConfig()


class CrossConsistencyConfig(Part):
    """XMoCo's first regulariser; weight 0 leaves it out."""

    weight: NotNegative = 0.0
    form: ConsistencyForm = "batch_transpose"
    temperature: Positive = 0.1


class NegativeUniformityConfig(Part):
    """XMoCo's second regulariser; weight 0 leaves it out."""

    weight: NotNegative = 0.0
    form: UniformityForm = "kl"
    temperature: Positive = 0.1


class MethodConfig(Part):
    """The loss, its queue and what is added to it."""

    loss: LossName = "unicon"
    temperature: Positive = 0.1
    queue_size: Count = 256
    queue_init: Literal["random", "empty"] = "random"
    key_momentum: Annotated[float, Field(ge=0, le=1)] = 0.99
    batch_norm: BatchNormName = "shuffle"
    bn_groups: Count = 8
    symmetric: bool = False
    positives: Literal["sum", "mean"] = "sum"
    cross_consistency: CrossConsistencyConfig = CrossConsistencyConfig()
    negative_uniformity: NegativeUniformityConfig = NegativeUniformityConfig()


class OptimConfig(Part):
    """The optimizer; `batch_size` counts the images of all workers together."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: Positive = 0.06
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NotNegative = 5e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: NotNegative = 0
    batch_size: Annotated[int, Field(ge=2)] = 256


class KnnConfig(Part):
    """The weighted nearest-neighbour vote (Wu et al. 2018, arXiv:1805.01978)."""

    k: Count = 20
    temperature: Positive = 0.1


class LinearConfig(Part):
    """The linear probe on frozen features; 0 epochs leave it out."""

    epochs: Annotated[int, Field(ge=0)] = 50


class EvalConfig(Part):
    """How often, and with which labels, the encoder is judged."""

    every: Count = 1
    labels: Literal["all", "visible"] = "all"
    knn: KnnConfig = KnnConfig()
    linear: LinearConfig = LinearConfig()


class CheckpointConfig(Part):
    """A checkpoint each `every` epochs and at the end; the last `keep` stay."""

    every: Count = 1
    keep: Count = 1


class ScaleConfig(Part):
    """How many workers train one run together, and what each of them holds."""

    workers: Count = 1
    cpus_per_worker: Positive = 1
    gpus_per_worker: NotNegative = 0


class TrackingConfig(Part):
    """Where MLflow listens; null is a sqlite file in the output folder, `none` is nowhere."""

    uri: str | None = None
    experiment: str | None = None


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
INDECISIVE = {"name", "output", "tracking", "scale", "checkpoint"}
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class RunConfig(Part):
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
                    "method.bn_groups leaves one image a group: nothing to normalise by"
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
        decisive = self.model_dump(exclude=INDECISIVE)
        if not self.changes:  # most runs: their names are as before there were any
            del decisive["changes"]
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
)


def axis_keys() -> list[str]:
    """Every dotted key that a sweep may vary: all but where and on what a run is executed."""
    keys = dotted_keys(RunConfig)
    leaves = [key for key in keys if not any(other.startswith(f"{key}.") for other in keys)]
    return [
        key for key in leaves if not any(key == f or key.startswith(f"{f}.") for f in FIXED_KEYS)
    ]


def preset_names() -> list[str]:
    """The presets that come with the package."""
    folder = resources.files("raymoco") / "presets"
    return sorted(
        Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def preset_values(name: str, where: str = "") -> dict[str, Any]:
    """The values of a preset.

    Raises:
        ConfigError: no preset has that name.
    """
    names = preset_names()
    if name not in names:
        at = f"{where}: " if where else ""
        raise ConfigError(
            f"{at}no preset is called '{name}'{nearest(name, names)} There are: {', '.join(names)}."
        )
    return read_yaml(Path(str(resources.files("raymoco") / "presets" / f"{name}.yaml"))).values


def build_run_config(document: Document, prefix: str = "") -> RunConfig:
    """A RunConfig from a document that may name a `preset` to start from."""
    preset = document.values.pop("preset", None)
    if preset is not None:
        start = preset_values(str(preset), document.origin(("preset",)))
        document = Document(merge(start, document.values), document.origins)
    return validate(RunConfig, document, prefix)


def load_run_config(preset_or_path: str, overrides: Iterable[str] = ()) -> RunConfig:
    """A RunConfig from a preset's name or a YAML file, with `key=value` overrides on top.

    Raises:
        ConfigError: no such preset or file, or something in it is wrong; names file and line.
    """
    path = Path(preset_or_path)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        document = read_yaml(path)
    else:
        document = Document({"preset": preset_or_path})
    apply_overrides(document, overrides)
    return build_run_config(document)
