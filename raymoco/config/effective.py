"""Which values of a config decide a result: every key once, with the rule that it follows.

A resume may change what decides nothing, cells of an ablation that decide alike are refused, and
the hash in a run's name tells of what can decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from raymoco.choices import BACKBONES, LOSSES, TERMS, LossChoice
from raymoco.yamlfile import flatten

if TYPE_CHECKING:
    from raymoco.config.run import RunConfig

Rule = Callable[["RunConfig", str], bool]  # whether a key decides anything in this config

# younger than version 0.1: left out of a run's hash where it has its default, so that old runs keep
# their names
YOUNGER: dict[str, Any] = {"changes": {}, "method.terms": {}}


def neutral(config: RunConfig, key: str) -> bool:
    """Where and on what a run is executed."""
    return False


def always(config: RunConfig, key: str) -> bool:
    """It decides, or might: only what surely changes nothing is left out."""
    return True


def with_keys(config: RunConfig, key: str) -> bool:
    """It belongs to the key encoder and its queue."""
    return _loss(config).has_keys


def of_loss(config: RunConfig, key: str) -> bool:
    """It is an option of one loss of ours."""
    return key.rpartition(".")[2] in _loss(config).keys


def of_backbone(config: RunConfig, key: str) -> bool:
    """It is an option of one backbone of ours."""
    return key.rpartition(".")[2] in BACKBONES.facts(config.model.backbone).keys


def of_term(config: RunConfig, key: str) -> bool:
    """It is an option of a term: none decides where the weight is 0, some never beside another."""
    parts = key.split(".")[1:]
    depth = 2 if parts[0] == "terms" else 1
    section, option = ".".join(parts[:depth]), parts[depth]
    if section not in _active_terms(config):
        return section in TERMS.choices and option == "weight"  # the 0 itself
    name = section.removeprefix("terms.")
    values = getattr(config.method, name) if section == name else config.method.terms[name]
    choice = TERMS.facts(getattr(values, "use", None) or name)
    if option not in choice.idle:
        return True
    other, idle_with = choice.idle[option]
    return getattr(values, other, None) not in idle_with


def of_split(config: RunConfig, key: str) -> bool:
    """It belongs to the batch norm in groups."""
    return config.method.batch_norm == "split"


def of_labels(config: RunConfig, key: str) -> bool:
    """It chooses the visible labels, which something must see."""
    sees = _loss(config).uses_labels or any(
        TERMS.facts(name).uses_labels for name in _active_terms(config).values()
    )
    return sees or config.data.mix != "natural" or config.eval.labels != "all"


def of_some_labels(config: RunConfig, key: str) -> bool:
    """It chooses among labels, of which there must be some and not all."""
    return of_labels(config, key) and 0 < config.data.labelled_fraction < 1


def of_any_labels(config: RunConfig, key: str) -> bool:
    """It names visible labels, of which there must be some."""
    return of_labels(config, key) and config.data.labelled_fraction > 0


# every key of a config; one that is not here is refused by a test
RULES: dict[str, Rule] = {
    **dict.fromkeys(
        (
            "name",
            "output",
            "tracking.uri",
            "tracking.experiment",
            "scale.workers",
            "scale.cpus_per_worker",
            "scale.gpus_per_worker",
            "checkpoint.every",
            "checkpoint.keep",
        ),
        neutral,
    ),
    **dict.fromkeys(
        (
            "data.source",
            "data.root",
            "data.limit",
            "data.image_size",
            "data.mix",
            "data.views",
            "data.cache",
            "data.columns.id",
            "data.columns.image",
            "data.columns.label",
            "model.backbone",
            "model.projector.layers",
            "model.projector.hidden",
            "model.projector.dim",
            "method.loss",
            "method.batch_norm",
            "optim.name",
            "optim.lr",
            "optim.momentum",
            "optim.weight_decay",
            "optim.schedule",
            "optim.warmup_epochs",
            "optim.batch_size",
            "epochs",
            "changes",
            "seed",
            "precision",
            "eval.every",
            "eval.labels",
            "eval.knn.k",
            "eval.knn.temperature",
            "eval.linear.epochs",
        ),
        always,
    ),
    "data.labelled_fraction": of_labels,
    "data.labelled_list": of_any_labels,
    "data.label_seed": of_some_labels,
    "model.width": of_backbone,
    "method.temperature": with_keys,
    "method.queue_size": with_keys,
    "method.queue_init": with_keys,
    "method.key_momentum": with_keys,
    "method.symmetric": with_keys,
    "method.bn_groups": of_split,
    "method.positives": of_loss,
    "method.cross_consistency.weight": of_term,
    "method.cross_consistency.form": of_term,
    "method.cross_consistency.temperature": of_term,
    "method.negative_uniformity.weight": of_term,
    "method.negative_uniformity.form": of_term,
    "method.negative_uniformity.temperature": of_term,
    "method.terms": of_term,
}


def effective(config: RunConfig) -> dict[str, Any]:
    """See `RunConfig.effective`."""
    config = _simplest(config)
    values = flatten(config.model_dump())
    return {key: value for key, value in values.items() if _rule(key)(config, key)}


def identity(config: RunConfig) -> dict[str, Any]:
    """What a run's hash is made of: all but neutral keys and younger ones at their defaults."""
    values: dict[str, Any] = config.model_dump()
    for key, rule in RULES.items():
        if rule is neutral:
            _drop(values, key)
    for key, default in YOUNGER.items():
        if _at(values, key) == default:
            _drop(values, key)
    return values


def _rule(key: str) -> Rule:
    """The rule of a key, or of the nearest key above it: of an option of `method.terms`."""
    while key not in RULES:
        key = key.rpartition(".")[0]
    return RULES[key]


def _simplest(config: RunConfig) -> RunConfig:
    """The config with the names that stand for the same: of a loss where no label is visible, of
    batch norms where nothing is permuted.
    """
    method = config.method
    simpler: dict[str, Any] = {}
    stands_for = _loss(config).without_labels
    if stands_for and config.data.labelled_fraction == 0:
        simpler["loss"] = stands_for
    alone = config.scale.workers == 1 and method.batch_norm != "split"
    if alone or (not _loss(config).has_keys and method.batch_norm == "shuffle"):
        simpler["batch_norm"] = "plain"
    return config.model_copy(update={"method": method.model_copy(update=simpler)})


def _loss(config: RunConfig) -> LossChoice:
    return LOSSES.facts(config.method.loss)


def _active_terms(config: RunConfig) -> dict[str, str]:
    """What is used, by the section of each term that has a weight at some time of the run."""
    found: dict[str, str] = {}
    for now in (config, *(config.at(epoch) for epoch in config.changes)):
        for section, weight in now.method.weights().items():
            name = section.removeprefix("terms.")
            if weight:
                found[section] = name if section == name else now.method.terms[name].use or name
    return found


def _at(values: Mapping[str, Any], key: str) -> Any:
    for name in key.split("."):
        values = values[name]
    return values


def _drop(values: dict[str, Any], key: str) -> None:
    """Delete a dotted key, and the mappings above it that are empty then."""
    head, _, rest = key.partition(".")
    if rest:
        _drop(values[head], rest)
    if not rest or not values[head]:
        del values[head]
