"""Everything that a config may name, and where its code is. Add a new choice here.

An entry has a name, the import path of its code, a one-line summary, and the facts that a config
needs before the code is imported. The config's checks, its JSON Schema and the docs follow from it.
This module imports no code of an entry: see raymoco/registry.py. docs/extending.md says how to
write your own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from raymoco.registry import Choice, Registry, Rule

# ---------------------------------------------------------------- method.loss


@dataclass(frozen=True)
class LossChoice(Choice):
    """A loss; the defaults are what raymoco assumes about third-party code.

    Attributes:
        uses_labels: whether the loss depends on labels.
        uses_queue: whether the loss depends on the keys in the queue.
        needs_labels: the loss learns from labeled images only, so batches contain no others.
        has_keys: the loss is used within MoCo; False: `path` is a method of its own, without keys.
        without_labels: the loss that it equals where no label is visible; "" for itself.
    """

    uses_labels: bool = True
    uses_queue: bool = True
    needs_labels: bool = False
    has_keys: bool = True
    without_labels: str = ""

    attributes: ClassVar[tuple[str, ...]] = ("uses_labels", "uses_queue", "needs_labels")


DEFAULT_LOSS = "unicon"  # of a config, and of MoCo

LOSSES = Registry(
    "method.loss",
    "loss",
    "raymoco.ssl.protocols:Loss",
    {
        "info_nce": LossChoice(
            "raymoco.ssl.losses:InfoNCE",
            "MoCo: an image's own key against the queue",
            uses_labels=False,
        ),
        "unicon": LossChoice(
            "raymoco.ssl.losses:UniCon",
            "UniMoCo: queue keys of the same label are positives too",
            keys=("positives",),
            without_labels="info_nce",
        ),
        "sup_con_in": LossChoice(
            "raymoco.ssl.losses:SupConIn",
            "SupCon with a queue, the mean over positives inside the log",
            without_labels="info_nce",
        ),
        "sup_con_out": LossChoice(
            "raymoco.ssl.losses:SupConOut",
            "SupCon with a queue, the mean over positives outside the log",
            without_labels="info_nce",
        ),
        "cross_entropy": LossChoice(
            "raymoco.ssl.supervised:Supervised",
            "the baseline: a classifier on the visible labels, without keys",
            uses_queue=False,
            needs_labels=True,
            has_keys=False,
        ),
    },
)

# --------------------------------------------------------------- method.terms


@dataclass(frozen=True)
class TermChoice(Choice):
    """A regularizer; the defaults are what raymoco assumes about third-party code.

    Attributes:
        uses_labels: whether the term depends on labels.
        has_section: it is configured at `method.NAME`, as in version 0.1; others at `method.terms`.
        idle: options without effect: `{"temperature": ("form", ("a", "b"))}` says that the
            temperature has no effect where the form is a or b.
    """

    uses_labels: bool = True
    has_section: bool = False
    idle: Mapping[str, tuple[str, tuple[Any, ...]]] = field(default_factory=dict)

    attributes: ClassVar[tuple[str, ...]] = ("uses_labels",)


TERMS = Registry(
    "method.terms",
    "term",
    "raymoco.ssl.protocols:Term",
    {
        "cross_consistency": TermChoice(
            "raymoco.ssl.regularizers:CrossConsistency",
            "XMoCo: similarities of two images survive an exchange of their views",
            uses_labels=False,
            has_section=True,
            idle={"temperature": ("form", ("batch_transpose", "batch_pairs"))},
        ),
        "negative_uniformity": TermChoice(
            "raymoco.ssl.regularizers:NegativeUniformity",
            "XMoCo: similarities to the negatives of the batch are uniform",
            has_section=True,
        ),
    },
)
# train/NAME has another meaning for these names
TAKEN_NAMES = ("loss", "contrast", "lr")

# ------------------------------------------------------------- model.backbone

BACKBONES = Registry(
    "model.backbone",
    "backbone",
    "raymoco.ssl.protocols:Backbone",
    {
        "resnet8": Choice(
            "raymoco.ssl.resnet8:resnet8",
            "three blocks, for CPUs and small images",
            keys=("width",),
        ),
    },
    rule=Rule("raymoco.ssl.backbones:torchvision_classifier", "any classifier of torchvision"),
    factory=True,
)

# ------------------------------------------------------ data.source

_SOURCES = "raymoco.data.sources"

SOURCES = Registry(
    "data.source",
    "source",
    f"{_SOURCES}.source:Source",
    {
        "digits": Choice(f"{_SOURCES}.digits:DigitsSource", "scikit-learn's 8x8 digits"),
        "fashion_mnist": Choice(f"{_SOURCES}.fashion_mnist:FashionMnistSource", "four IDX files"),
        "cifar10": Choice(f"{_SOURCES}.cifar:CifarSource", "as published, unpacked or not"),
        "cifar100": Choice(f"{_SOURCES}.cifar:CifarSource", "as published, unpacked or not"),
        "stl10": Choice(f"{_SOURCES}.stl10:Stl10Source", "the binary files, unpacked"),
        "folder": Choice(f"{_SOURCES}.folder:FolderSource", "a folder of images, or per class"),
        "shards": Choice(f"{_SOURCES}.parquet:ParquetSource", "the older name of parquet"),
        "parquet": Choice(f"{_SOURCES}.parquet:ParquetSource", "Parquet files that you have"),
        "files": Choice(f"{_SOURCES}.files:FilesSource", "a table of paths or URIs"),
        "webdataset": Choice(f"{_SOURCES}.webdataset:WebDatasetSource", "tar files of samples"),
    },
)

# ------------------------------------------------------- data.views

_VIEWS = "raymoco.data.views.two_views"

VIEWS = Registry(
    "data.views",
    "recipe of views",
    "raymoco.data.views.build:Views",
    {
        "glyph": Choice(f"{_VIEWS}:GlyphViews", "mild, no flips: digits and letters"),
        "grey": Choice(f"{_VIEWS}:GrayViews", "one channel: crops, flips, brightness, contrast"),
        "colour": Choice(f"{_VIEWS}:ColorViews", "three channels: the recipe of MoCo v2"),
        "gray": Choice(f"{_VIEWS}:GrayViews", "another spelling of grey"),
        "color": Choice(f"{_VIEWS}:ColorViews", "another spelling of colour"),
    },
    others=("auto",),
)

# the spelling that a config stores, so that names of runs, hashes and folders do not change
ONE_SPELLING = {"parquet": "shards", "gray": "grey", "color": "colour"}

# ------------------------------------------------------------- preset

# presets whose values also follow from the images: a function from `data` to decisions
PRESETS_OF_IMAGES = {
    "folder": Choice(
        "raymoco.engine.folder_preset:folder_values", "what fits a folder of images, by tables"
    ),
}
ROOTLESS = ("digits",)  # sources that bring their images: data.root means nothing to them

# -------------------------------------------------------- sampler.name

_SAMPLERS = "raymoco.study.proposals.samplers"

SAMPLERS = Registry(
    "sampler.name",
    "sampler",
    "raymoco.study.sweepfile.search_sampler:SearchSampler",
    {
        "tpe": Choice(f"{_SAMPLERS}:Tpe", "for most searches: any axes, any number of objectives"),
        "random": Choice(f"{_SAMPLERS}:Random", "a baseline; no trial depends on another"),
        "cmaes": Choice(f"{_SAMPLERS}:Cmaes", "100 trials and more on numbers; one objective"),
        "qmc": Choice(f"{_SAMPLERS}:Qmc", "covers a space evenly; learns nothing"),
        "gp": Choice(f"{_SAMPLERS}:Gp", "few expensive trials, few axes"),
        "grid": Choice(f"{_SAMPLERS}:Grid", "every point of a finite space once"),
    },
)

# ------------------------------------------------------ scheduler.name


@dataclass(frozen=True)
class SchedulerChoice(Choice):
    """A scheduler that raymoco ships.

    Attributes:
        population: trains all trials at once, by rounds and without Ray Tune.
    """

    population: bool = False


_STOPPING = "raymoco.study.tune.stopping_rules"

SCHEDULERS: Registry[SchedulerChoice] = Registry(
    "scheduler.name",
    "scheduler",
    "raymoco.study.sweepfile.search_scheduler:SearchScheduler",
    {
        "asha": SchedulerChoice(f"{_STOPPING}:Asha", "at each rung, stops all but the best so far"),
        "median": SchedulerChoice(f"{_STOPPING}:Median", "stops trials below the others' median"),
        "pbt": SchedulerChoice(
            "raymoco.study.proposals.population_rules:PopulationRules",
            "the worst trials continue from the best, with changed values",
            population=True,
        ),
        "none": SchedulerChoice(f"{_STOPPING}:NeverStop", "every trial runs to its end"),
    },
)

# ------------------------------------------------------------- eval.protocols


@dataclass(frozen=True)
class ProtocolChoice(Choice):
    """An evaluation protocol that raymoco ships.

    Attributes:
        section: its options stand at `eval.SECTION`, as in version 0.1; "": it has none.
        left_out: an option and the value that leaves the protocol out; None: it has no such option.
        always: every run is judged by it, listed or not.
    """

    section: str = ""
    left_out: tuple[str, Any] | None = None
    always: bool = False


_PROTOCOLS = "raymoco.engine.protocols"

PROTOCOLS: Registry[ProtocolChoice] = Registry(
    "eval.protocols",
    "evaluation protocol",
    f"{_PROTOCOLS}.protocol:EvaluationProtocol",
    {
        "knn": ProtocolChoice(
            f"{_PROTOCOLS}.knn:Knn", "the weighted vote of the nearest neighbors", section="knn"
        ),
        "linear": ProtocolChoice(
            f"{_PROTOCOLS}.linear:Linear",
            "a linear classifier on frozen features, at the end",
            section="linear",
            left_out=("epochs", 0),
        ),
        "logreg": ProtocolChoice(
            f"{_PROTOCOLS}.logreg:LogReg", "logistic regression, its C chosen on eval, at the end"
        ),
        "fewshot": ProtocolChoice(
            f"{_PROTOCOLS}.fewshot:FewShot", "1 and 5 examples of each class, 100 draws, at the end"
        ),
        "retrieval": ProtocolChoice(
            f"{_PROTOCOLS}.retrieval:Retrieval", "recall, R-precision and MAP among the others"
        ),
        "collapse": ProtocolChoice(
            f"{_PROTOCOLS}.collapse:Collapse",
            "alignment, uniformity, effective rank: no label is needed",
            always=True,
        ),
    },
)
DEFAULT_PROTOCOLS = ("knn", "linear")  # beside those of every run

# --------------------------------------------------------------- tracking.uri

# `mlflow` is not written: it is what every URI of MLflow means
TRACKERS: Registry[Choice] = Registry(
    "tracking.uri",
    "tracker",
    "raymoco.tracking.protocol:TrackingStore",
    {"mlflow": Choice("raymoco.tracking.store:Store", "a sqlite file, or a server")},
)
