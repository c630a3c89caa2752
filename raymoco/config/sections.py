"""The sections of a run's configuration: frozen, checked, strangers to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
)

from raymoco.choices import DEFAULT_PROTOCOLS, PROTOCOLS
from raymoco.registry import name_of

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
LossName = Literal["info_nce", "unicon", "sup_con_in", "sup_con_out", "cross_entropy"]
ConsistencyForm = Literal["batch_transpose", "batch_pairs", "queue_kl", "batch_kl"]
UniformityForm = Literal["kl", "entropy"]
BatchNormName = Literal["plain", "shuffle", "split", "sync"]


class StrictModel(BaseModel):
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


class ColumnsConfig(StrictModel):
    """What somebody else's Parquet calls its columns; null: id, image, label."""

    id: str | None = None
    image: str | None = None
    label: str | None = None


class DataConfig(StrictModel):
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


class ProjectorConfig(StrictModel):
    """The head between the features and the sphere: 1 layer is MoCo v1's, 2 are MoCo v2's."""

    layers: Annotated[int, Field(ge=1, le=3)] = 2
    hidden: Count = 64
    dim: Annotated[int, Field(ge=2)] = 128


class ModelConfig(StrictModel):
    """The backbone, by name, and its projector."""

    backbone: str = "resnet8"
    width: Count = 16
    projector: ProjectorConfig = ProjectorConfig()


class CrossConsistencyConfig(StrictModel):
    """XMoCo's first regularizer; weight 0 leaves it out."""

    weight: NotNegative = 0.0
    form: ConsistencyForm = "batch_transpose"
    temperature: Positive = 0.1


class NegativeUniformityConfig(StrictModel):
    """XMoCo's second regularizer; weight 0 leaves it out."""

    weight: NotNegative = 0.0
    form: UniformityForm = "kl"
    temperature: Positive = 0.1


class MethodConfig(StrictModel):
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


class OptimConfig(StrictModel):
    """The optimizer; `batch_size` counts the images of all workers together."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: Positive = 0.06
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NotNegative = 5e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: NotNegative = 0
    batch_size: Annotated[int, Field(ge=2)] = 256


class KnnConfig(StrictModel):
    """The weighted nearest-neighbor vote (Wu et al. 2018, arXiv:1805.01978)."""

    k: Count = 20
    temperature: Positive = 0.1


class LinearConfig(StrictModel):
    """The linear probe on frozen features; 0 epochs leave it out."""

    epochs: Annotated[int, Field(ge=0)] = 50


def _protocol(value: Any) -> Any:
    """Check the name of a protocol; somebody else's is looked at when a run is resolved."""
    if not isinstance(value, str | Mapping):
        raise ValueError(f"{value!r} is no name of a protocol, and no mapping with one")
    return PROTOCOLS.validate(value)


def _listed_once(protocols: list[str | dict[str, Any]]) -> list[str | dict[str, Any]]:
    """Refuse a protocol that is listed twice; one of every run needs no place in the list."""
    names = [name_of(one) for one in protocols]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is there twice, but must be there once")
    every_runs = [name for name, choice in PROTOCOLS.choices.items() if choice.always]
    return [one for one in protocols if one not in every_runs]


ProtocolName = Annotated[
    str | dict[str, Any],
    BeforeValidator(_protocol),
    WithJsonSchema(PROTOCOLS.schema()),
]


class EvalConfig(StrictModel):
    """How often, by which protocols and with which labels the encoder is judged.

    The options of `knn` and `linear` are the keys of their names; those of somebody else's protocol
    stand beside its name.
    """

    every: Count = 1
    labels: Literal["all", "visible"] = "all"
    protocols: Annotated[list[ProtocolName], AfterValidator(_listed_once)] = Field(
        default=[*DEFAULT_PROTOCOLS]
    )
    knn: KnnConfig = KnnConfig()
    linear: LinearConfig = LinearConfig()


class CheckpointConfig(StrictModel):
    """A checkpoint each `every` epochs and at the end; the last `keep` stay."""

    every: Count = 1
    keep: Count = 1


class ScaleConfig(StrictModel):
    """How many workers train one run together, and what each of them holds."""

    workers: Count = 1
    cpus_per_worker: Positive = 1
    gpus_per_worker: NotNegative = 0


class TrackingConfig(StrictModel):
    """Where MLflow listens; null is a sqlite file in the output folder, `none` is nowhere.

    Somebody else's store is `package.module:Name`, or `package.module:Name?ADDRESS`.
    """

    uri: str | None = None
    experiment: str | None = None
