"""Everything that a config may name, and where its code is: the one place to add a choice to.

An entry is a name, the path of its code, and a line for people. The config's checks, its JSON
Schema and the docs follow. Nothing is imported here: see raymoco/registry.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from raymoco.registry import Choice, Registry

# --- where images come from

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
        "shards": Choice(f"{_SOURCES}.parquet:ParquetSource", "somebody's Parquet files"),
        "parquet": Choice(f"{_SOURCES}.parquet:ParquetSource", "a better name for shards"),
    },
)

# --- two views of an image

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

# what a config says for either spelling: names of runs, digests and folders stay as they were
ONE_SPELLING = {"parquet": "shards", "gray": "grey", "color": "colour"}

# --- samplers of a search

_SAMPLERS = "raymoco.study.proposals.samplers"

SAMPLERS = Registry(
    "sampler.name",
    "sampler",
    "raymoco.study.sweepfile.search_sampler:SearchSampler",
    {
        "tpe": Choice(f"{_SAMPLERS}:Tpe", "nearly always: any axes, any number of objectives"),
        "random": Choice(f"{_SAMPLERS}:Random", "a baseline; no trial depends on another"),
        "cmaes": Choice(f"{_SAMPLERS}:Cmaes", "100 trials and more on numbers; one objective"),
        "qmc": Choice(f"{_SAMPLERS}:Qmc", "covers a space evenly; learns nothing"),
        "gp": Choice(f"{_SAMPLERS}:Gp", "few trials that each cost much, few axes"),
        "grid": Choice(f"{_SAMPLERS}:Grid", "every point of a finite space once"),
    },
)

# --- schedulers of a search


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
        "asha": SchedulerChoice(f"{_STOPPING}:Asha", "stops at rungs all but the best so far"),
        "median": SchedulerChoice(f"{_STOPPING}:Median", "stops what is below the others' median"),
        "pbt": SchedulerChoice(
            "raymoco.study.proposals.population_rules:PopulationRules",
            "the worst go on from the best, with values that move",
            population=True,
        ),
        "none": SchedulerChoice(f"{_STOPPING}:NeverStop", "every trial runs to its end"),
    },
)
