"""Everything that a config may name, and where its code is: the one place to add a choice to.

An entry is a name, the path of its code, and a line for people. The config's checks, its JSON
Schema and the docs follow. Nothing is imported here: see raymoco/registry.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from raymoco.registry import Choice, Registry

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
