"""The sections of a run's configuration: frozen, each checked on its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from raymoco.choices import (
    BACKBONES,
    DEFAULT_LOSS,
    DEFAULT_PROTOCOLS,
    LOSSES,
    PROTOCOLS,
    SOURCES,
    TAKEN_NAMES,
    TERMS,
)
from raymoco.config.named import named
from raymoco.config.strict import StrictModel
from raymoco.config.views import ViewsConfig, check_views
from raymoco.config.views import schema as views_schema
from raymoco.passwords import mask
from raymoco.registry import NAME, Named, name_of, options_of
from raymoco.yamlfile import KeysOf

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
TermName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
ConsistencyForm = Literal["batch_transpose", "batch_pairs", "queue_kl", "batch_kl"]
UniformityForm = Literal["kl", "entropy"]
BatchNormName = Literal["plain", "shuffle", "split", "sync"]


def color_name(text: str) -> str:
    """Refuse a text that names no color: a CSS name or #rrggbb."""
    from PIL import ImageColor  # only where a color is given

    if text != "white":
        try:
            ImageColor.getrgb(text)
        except ValueError:
            raise ValueError(
                f"'{text}' is no color; give a name such as gray, or #rrggbb"
            ) from None
    return text


def rising(value: Literal["auto"] | tuple[float, float]) -> Literal["auto"] | tuple[float, float]:
    """Refuse a range of values whose ends are not finite and in order."""
    if value != "auto" and not -math.inf < value[0] < value[1] < math.inf:
        raise ValueError(
            f"the range is {list(value)}, but its first number must be less than its second"
        )
    return value


class ColumnsConfig(StrictModel):
    """The column names of third-party Parquet files; null: id, image, label."""

    id: str | None = None
    image: str | None = None
    label: str | None = None


class DataConfig(StrictModel):
    """Which images pre-training uses, and which of their labels it may see."""

    source: Annotated[str | dict[str, Any], named(SOURCES), WithJsonSchema(SOURCES.schema())] = (
        "digits"
    )
    root: str | None = None
    limit: Count | None = None
    image_size: Annotated[int, Field(ge=4)] | None = None
    labelled_fraction: Fraction = 1.0
    labelled_list: str | None = None
    label_seed: int | None = None
    mix: Annotated[str, Field(pattern=r"^(natural|[1-9]\d*:[1-9]\d*)$")] = "natural"
    views: Annotated[
        str | dict[str, Any],
        BeforeValidator(check_views),
        WithJsonSchema(views_schema()),
        KeysOf(ViewsConfig),
    ] = "auto"
    cache: Literal["auto", "memory", "stream"] = "auto"
    columns: ColumnsConfig = ColumnsConfig()
    labels_csv: str | None = None
    background: Annotated[str, AfterValidator(color_name)] = "white"
    value_range: Annotated[Literal["auto"] | tuple[float, float], AfterValidator(rising)] = "auto"
    duplicates: Literal["drop", "keep"] = "drop"
    view_size: Annotated[int, Field(ge=4)] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> DataConfig:
        if self.view_size and self.image_size and self.view_size > self.image_size:
            raise ValueError(
                f"data.view_size is {self.view_size}, but must be at most data.image_size, "
                f"{self.image_size}"
            )
        return self


class ProjectorConfig(StrictModel):
    """The projection head: 1 layer as in MoCo v1, 2 layers as in MoCo v2."""

    layers: Annotated[int, Field(ge=1, le=3)] = 2
    hidden: Count = 64
    dim: Annotated[int, Field(ge=2)] = 128


PUBLISHED = "torchvision:"  # in model.weights; then a name of torchvision's, such as IMAGENET1K_V2


class ModelConfig(StrictModel):
    """The backbone, by name, and its projector; `width` is an option of resnet8.

    `stem` is an option of torchvision's ResNets: `cifar` is a 3x3 convolution without stride and
    pooling, `imagenet` their own of 7x7, and `auto` is cifar up to 64 px. `weights` are what the
    backbone starts from: a run's folder, a checkpoint, a file of torch or safetensors, or
    `torchvision:NAME` of published ones; null: random ones.
    """

    backbone: Annotated[Named, BACKBONES] = "resnet8"
    width: Count = 16
    stem: Literal["auto", "cifar", "imagenet"] = "auto"
    weights: str | None = None
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


class TermConfig(StrictModel):
    """A regularizer under a name of your choice: where its code is, its weight and its options.

    `use` is one of raymoco's names or `package.module:Name`. Without it, the term's own name must
    be one of raymoco's.
    """

    model_config = ConfigDict(extra="allow")

    use: Annotated[str | None, WithJsonSchema({"anyOf": [*TERMS.words(), {"type": "null"}]})] = None
    weight: NotNegative

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside `use` and `weight`."""
        return dict(self.model_extra or {})

    def named(self, name: str) -> dict[str, Any]:
        """The name in `use` and its options, in the form that a registry reads."""
        return {**self.options, NAME: self.use or name}


class MethodConfig(StrictModel):
    """The loss, its queue and its regularizers; `positives` is an option of unicon."""

    loss: Annotated[Named, LOSSES] = DEFAULT_LOSS
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
    terms: dict[TermName, TermConfig] = Field(default_factory=dict)

    @field_validator("terms")
    @classmethod
    def _names_are_known(cls, terms: dict[str, TermConfig]) -> dict[str, TermConfig]:
        for name, term in terms.items():
            if name in TAKEN_NAMES:
                raise ValueError(
                    f"method.terms.{name} would be logged as train/{name}, which is something "
                    "else: choose another name"
                )
            if term.use is None and name not in TERMS.names:
                raise ValueError(
                    f"method.terms.{name} needs `use`: a name of {', '.join(TERMS.names)}, or "
                    "your own package.module:Name"
                )
            TERMS.at(f"method.terms.{name}.use").validate(term.use or name)
            if NAME in term.options:
                raise ValueError(f"method.terms.{name}.{NAME}: the key for what it is, is `use`")
        return terms

    @model_validator(mode="after")
    def _fits_together(self) -> MethodConfig:
        for name, weight in self.weights().items():
            if weight and self.weights().get(f"terms.{name}"):
                raise ValueError(
                    f"method.terms.{name} and method.{name} both have a weight above 0: give the "
                    "one in terms another name, and `use`"
                )
        if options_of(self.loss) and LOSSES.find(self.loss) is not None:
            option = next(iter(options_of(self.loss)))
            raise ValueError(f"method.loss.{option}: a loss of raymoco has no options there")
        return self

    def weights(self) -> dict[str, float]:
        """The weight of every regularizer, by the key of its section: `terms.spread`."""
        sections = [name for name, choice in TERMS.choices.items() if choice.has_section]
        return {name: getattr(self, name).weight for name in sections} | {
            f"terms.{name}": term.weight for name, term in self.terms.items()
        }


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
    """Check the name of a protocol; import paths are imported when a run is resolved."""
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
    """A checkpoint each `every` epochs and at the end; the last `keep` stay.

    Of a search's trials that are neither among the best `keep_trials` nor to be confirmed, `losers`
    says what stays: the query encoder, none, or all.
    """

    every: Count = 1
    keep: Count = 1
    keep_trials: Count = 10
    losers: Literal["encoder", "none", "all"] = "encoder"


class ScaleConfig(StrictModel):
    """How many workers train one run together, and the resources of each."""

    workers: Count = 1
    cpus_per_worker: Positive = 1
    gpus_per_worker: NotNegative = 0


class TrackingConfig(StrictModel):
    """Where MLflow listens; null is a sqlite file in the output folder, `none` is nowhere.

    A third-party store is `package.module:Name`, or `package.module:Name?ADDRESS`. A password in
    the URI is masked at once; see passwords.py.
    """

    uri: Annotated[str, AfterValidator(mask)] | None = None
    experiment: str | None = None
