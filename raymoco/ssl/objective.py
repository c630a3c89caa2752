"""The objective of a step: a loss plus weighted terms, raymoco's or third-party ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from torch import Tensor

from raymoco.choices import LOSSES, TERMS
from raymoco.errors import ConfigError
from raymoco.registry import name_of
from raymoco.ssl.collectives import all_gather_with_grad
from raymoco.ssl.protocols import Loss, Term
from raymoco.ssl.query_gradient import loss_of_query


class TermSettings(Protocol):
    """The settings of a third-party term; `raymoco.config.TermConfig` provides them."""

    @property
    def weight(self) -> float:
        """Factor >= 0 in the total; 0 leaves the term out."""

    def named(self, name: str) -> Mapping[str, Any]:
        """The value of `use`, as `name`, and the options beside it."""


@dataclass(frozen=True)
class WeightedTerm:
    """A term with the name under which it is logged, and its factor in the total, above 0."""

    name: str
    weight: float
    compute: Term


@dataclass(frozen=True)
class Batch:
    """The rows of one direction of a step: this worker's rows and those of all workers.

    `query` and `key` are (B, D), `labels` (B,); `all_keys` and `all_labels` have W * B rows.
    """

    query: Tensor
    key: Tensor
    labels: Tensor
    all_keys: Tensor
    all_labels: Tensor


class Objective:
    """A loss and its terms, built for a run.

    Args:
        loss: computes the scalar "contrast".
        terms: in the order in which they are computed and added.
    """

    def __init__(self, loss: Loss, terms: Sequence[WeightedTerm]) -> None:
        self.loss, self.terms = loss, tuple(terms)

    def parts(self, batch: Batch, queue: Tensor, queue_labels: Tensor) -> dict[str, Tensor]:
        """Compute the loss and each term: unweighted scalars by name, with gradient."""
        own = (batch.query, batch.key, queue, batch.labels, queue_labels)
        found = {"contrast": compute(self.loss, *own)}
        whole = own
        if any(_of_whole_batch(term) for term in self.terms):
            # once for all terms: it gathers from every worker, and sums in the backward pass
            everybody = all_gather_with_grad(batch.query)
            whole = (everybody, batch.all_keys, queue, batch.all_labels, queue_labels)
        for term in self.terms:
            found[term.name] = compute(term.compute, *(whole if _of_whole_batch(term) else own))
        return found

    def total(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Add the weighted terms to the loss, in order."""
        loss = parts["contrast"]
        for term in self.terms:
            loss = loss + term.weight * parts[term.name]
        return loss


def compute(
    what: Loss | Term,
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    labels: Tensor,
    queue_labels: Tensor,
) -> Tensor:
    """Compute a loss or a term of these rows, with its gradient to the query.

    MoCo overwrites the queue before the backward pass, so the gradient must be computed now. Unless
    the loss says that it does so itself (`holds_gradient`), this computes it in fp32.

    Raises:
        ConfigError: it is no scalar.
    """
    if getattr(what, "holds_gradient", False):
        return what(query, key, queue, labels, queue_labels)

    def formula(query_BD: Tensor) -> Tensor:
        value = what(query_BD, key, queue, labels, queue_labels)
        if value.dim():
            raise ConfigError(
                f"{type(what).__name__} has shape {tuple(value.shape)}, but must be a scalar, the "
                "mean over the images."
            )
        return value

    return loss_of_query(formula, query)


def build_loss(
    value: str | Mapping[str, Any],
    temperature: float,
    section: Mapping[str, Any],
    key: str = "loss",
) -> Loss:
    """Build the loss that a name or an import path stands for, at a temperature.

    Args:
        section: values of the config section around the key; it has the options of raymoco's
        losses. key: the key's name in messages.
    Raises:
        ConfigError: no such loss, wrong options, or a method without keys.
    """
    choice = LOSSES.find(value)
    if choice is not None and not choice.has_keys:
        raise ConfigError(
            f"{key} is '{name_of(value)}', which has no keys and no place in MoCo: "
            "raymoco.ssl.build_method makes it."
        )
    try:
        LOSSES.at(key).validate(value)
    except ValueError as error:
        raise ConfigError(f"{error}.") from None
    return cast(Loss, LOSSES.at(key).make(value, temperature, beside=section))


def build_terms(
    sections: Mapping[str, Any], terms: Mapping[str, TermSettings], key: str = ""
) -> list[WeightedTerm]:
    """Build the terms whose weight is above 0, those with their own config section first.

    Args:
        sections: by the name of a raymoco term, settings with `weight` and the term's options as
            attributes, or None.
        terms: settings of all other terms, by the name under which they are logged.
        key: the prefix of a name in messages: `method.`.
    Raises:
        ConfigError: no such term, wrong options, or a negative weight.
    """
    found = []
    for name, settings in sections.items():
        if settings is not None:
            registry = TERMS.at(key + name)
            model = registry.load(name).Options
            given = {option: getattr(settings, option) for option in model.model_fields}
            term = registry.make({"name": name, **given})
            if _weight(settings, key + name) > 0:
                found.append(WeightedTerm(name, settings.weight, term))
    for name, settings in terms.items():
        if _weight(settings, f"{key}terms.{name}") > 0:
            term = TERMS.at(f"{key}terms.{name}").make(settings.named(name))
            found.append(WeightedTerm(name, settings.weight, term))
    return found


def _of_whole_batch(term: WeightedTerm) -> bool:
    return bool(getattr(term.compute, "whole_batch", True))


def _weight(settings: Any, key: str) -> float:
    weight: float = settings.weight
    if not weight >= 0:
        raise ConfigError(f"{key}.weight is {weight}, but must be at least 0.")
    return weight
