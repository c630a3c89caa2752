"""The Protocol of a sampler, which `sampler.name` names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from raymoco.study.sweepfile.search_space import SearchSpace

if TYPE_CHECKING:
    from raymoco.study.sweepfile.search_spec import SearchSpec

EVERY_END = ("completed", "pruned")


@dataclass(frozen=True)
class NextTrial:
    """The trial that a sampler is built for.

    Attributes:
        space: the axes and their conditions.
        seed: the sampler's seed, from the sweep file.
        number: the number of the trial, from 0, without those of an earlier sweep.
        startup_trials: the number of random trials before the sampler uses its model.
        earlier: trials of another sweep (`warm_start`). They are in the study too.
    """

    space: SearchSpace
    seed: int
    number: int
    startup_trials: int = 0
    earlier: Sequence[FrozenTrial] = ()

    @property
    def trial_seed(self) -> int:
        """A seed for this trial, so that a resumed search draws the same values."""
        return (self.seed * 1_000_003 + self.number) % 2**32


class SearchSampler(Protocol):
    """Builds an Optuna sampler for each trial of a search.

    Derive from it and define `build`; the other methods have defaults. A class that does not derive
    from it must have all five methods. raymoco creates it without arguments. `Options`, a pydantic
    model in the class, checks the keys under `sampler.options`.
    """

    @abstractmethod
    def build(self, options: Any, trial: NextTrial) -> BaseSampler:
        """Build a new sampler for one trial, whose draws depend on `trial` alone.

        Args:
            options: an instance of `Options`; None where the class has none.
        """

    def learns_from(self, options: Any) -> Collection[str]:
        """Return the ends of trials that the sampler learns from: of `completed` and `pruned`."""
        return EVERY_END

    def moves(self, options: Any, space: SearchSpace) -> Collection[str]:
        """Return the axes that it chooses jointly; `--dry-run` lists the others as random."""
        return list(space.axes)

    def points(self, options: Any, space: SearchSpace) -> list[dict[str, Any]] | None:
        """Return every point that it will propose, whose number becomes the budget; None: no list.

        Raises:
            ConfigError: this space has no finite list.
        """
        return None

    def check(self, options: Any, spec: SearchSpec, space: SearchSpace) -> None:
        """Refuse a search that the sampler cannot do.

        Raises:
            ConfigError: says why; its `key` finds the line in the file.
        """
