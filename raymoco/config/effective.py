"""Which settings can affect a result: a rule for every key of a config.

A resume may change settings that cannot affect the result. Ablation cells whose effective settings
agree are refused. The hash in a run's name is computed from the settings that can affect it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raymoco.choices import BACKBONES, DEFAULT_PROTOCOLS, LOSSES, TERMS, LossChoice, TermChoice
from raymoco.config.views import RECIPE, ViewsConfig, has_effect, is_ours, simplest
from raymoco.registry import NAME, Choice, name_of
from raymoco.yamlfile import flatten

if TYPE_CHECKING:
    from raymoco.config.run import RunConfig


@dataclass(frozen=True)
class Decided:
    """A config and what raymoco knows about the code that it names.

    `terms` has the terms whose weight is above 0 at some epoch, by section: `terms.spread`.
    """

    config: RunConfig
    loss: LossChoice
    backbone: Choice
    terms: Mapping[str, TermChoice]


Rule = Callable[[Decided, str], bool]  # whether a key can affect the result, given the others

# keys added after version 0.1: left out of a run's hash at their default, so that old runs keep
# their names
YOUNGER: dict[str, Any] = {
    "data.labels_csv": None,
    "data.background": "white",
    "data.value_range": "auto",
    "data.duplicates": "drop",
    "data.view_size": None,
    "model.stem": "auto",
    "model.weights": None,
    "changes": {},
    "method.terms": {},
    "eval.protocols": [*DEFAULT_PROTOCOLS],
}


def neutral(run: Decided, key: str) -> bool:
    """Never: the key says where and on what a run is executed."""
    return False


def always(run: Decided, key: str) -> bool:
    """Always: only keys that certainly have no effect are left out."""
    return True


def with_keys(run: Decided, key: str) -> bool:
    """Where the method has a key encoder and a queue."""
    return run.loss.has_keys


def of_loss(run: Decided, key: str) -> bool:
    """Where the config names the loss that has this option."""
    return key.rpartition(".")[2] in run.loss.keys


def of_backbone(run: Decided, key: str) -> bool:
    """Where the config names the backbone that has this option."""
    return key.rpartition(".")[2] in run.backbone.keys


def of_stem(run: Decided, key: str) -> bool:
    """Where the backbone is one of torchvision's ResNets, which have it."""
    name = name_of(run.config.model.backbone)
    return "resn" in name and name not in BACKBONES.names and ":" not in name


def of_term(run: Decided, key: str) -> bool:
    """Where the term has a weight, and no other option makes this one idle."""
    parts = key.split(".")[1:]
    depth = 2 if parts[0] == "terms" else 1
    section, option = ".".join(parts[:depth]), parts[depth]
    if section not in run.terms:
        return depth == 1 and option == "weight"  # the weight 0 itself
    idle = run.terms[section].idle
    if option not in idle:
        return True
    method = run.config.method
    values = getattr(method, section) if depth == 1 else method.terms[parts[1]]
    other, idle_with = idle[option]
    return getattr(values, other, None) not in idle_with


def of_split(run: Decided, key: str) -> bool:
    """Where batch norm is computed in groups."""
    return run.config.method.batch_norm == "split"


def of_labels(run: Decided, key: str) -> bool:
    """Where something uses the visible labels, which the key chooses."""
    config = run.config
    sees = run.loss.uses_labels or any(term.uses_labels for term in run.terms.values())
    return sees or config.data.mix != "natural" or config.eval.labels != "all"


def of_some_labels(run: Decided, key: str) -> bool:
    """Where some labels are visible, but not all."""
    return of_labels(run, key) and 0 < run.config.data.labelled_fraction < 1


def of_any_labels(run: Decided, key: str) -> bool:
    """Where some labels are visible."""
    return of_labels(run, key) and run.config.data.labelled_fraction > 0


def of_views(run: Decided, key: str) -> bool:
    """Where the parameter of the views changes anything, given the others."""
    data = run.config.data
    return not is_ours(data.views) or has_effect(
        data.views, key.rpartition(".")[2], name_of(data.source)
    )


# every key of a config; a test fails for a key that is missing here
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
            "checkpoint.keep_trials",
            "checkpoint.losers",
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
            "data.cache",
            "data.columns.id",
            "data.columns.image",
            "data.columns.label",
            "model.weights",
            "data.labels_csv",
            "data.background",
            "data.value_range",
            "data.duplicates",
            "data.view_size",
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
            "eval.protocols",
            "eval.labels",
            "eval.knn.k",
            "eval.knn.temperature",
            "eval.linear.epochs",
        ),
        always,
    ),
    **dict.fromkeys((f"data.views.{key}" for key in ViewsConfig.model_fields), of_views),
    "data.labelled_fraction": of_labels,
    "data.labelled_list": of_any_labels,
    "data.label_seed": of_some_labels,
    "model.width": of_backbone,
    "model.stem": of_stem,
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


def effective(config: RunConfig, *, look: bool = False) -> dict[str, Any]:
    """See `RunConfig.effective`."""
    config = _simplest(config)
    run = Decided(
        config,
        LOSSES.facts(config.method.loss, look=look),
        BACKBONES.facts(config.model.backbone),
        {section: TERMS.facts(use, look=look) for section, use in _used_terms(config).items()},
    )
    values = flatten(config.model_dump())
    return {key: value for key, value in values.items() if _rule(key)(run, key)}


def identity(config: RunConfig) -> dict[str, Any]:
    """The settings that a run's hash is computed from: all but neutral keys, and newer keys at
    their defaults.
    """
    values: dict[str, Any] = config.model_dump()
    values["data"]["views"] = simplest(config.data.views)
    for key, rule in RULES.items():
        if rule is neutral:
            _drop(values, key)
    for key, default in YOUNGER.items():
        if _at(values, key) == default:
            _drop(values, key)
    return values


def _rule(key: str) -> Rule:
    """The rule of a key, or of the nearest key above it: of an option of `method.terms`.

    An option of third-party views has none, and may affect everything.
    """
    while key and key not in RULES:
        key = key.rpartition(".")[0]
    return RULES.get(key, always)


def _simplest(config: RunConfig) -> RunConfig:
    """The config with equivalent names replaced by one: losses where no label is visible, batch
    norms where nothing is permuted, views whose parameters are the recipe's.
    """
    method = config.method
    loss = LOSSES.facts(method.loss)
    simpler: dict[str, Any] = {}
    if loss.without_labels and config.data.labelled_fraction == 0:
        simpler["loss"] = loss.without_labels
    alone = config.scale.workers == 1 and method.batch_norm != "split"
    if alone or (not loss.has_keys and method.batch_norm == "shuffle"):
        simpler["batch_norm"] = "plain"
    views = simplest(config.data.views)
    if isinstance(views, str):  # so that a word and a mapping can be compared key by key
        views = {RECIPE if is_ours(views) else NAME: views}
    data = config.data.model_copy(update={"views": views})
    return config.model_copy(update={"method": method.model_copy(update=simpler), "data": data})


def _used_terms(config: RunConfig) -> dict[str, str]:
    """The `use` of each term whose weight is above 0 at some epoch, by its section."""
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
    """Delete a dotted key, and the mappings above it that become empty."""
    head, _, rest = key.partition(".")
    if rest:
        _drop(values[head], rest)
    if not rest or not values[head]:
        del values[head]
