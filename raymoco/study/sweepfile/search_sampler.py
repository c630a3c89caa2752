"""What `sampler.name` may name: the Protocol of a sampler."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from raymoco.study.sweepfile.search_space import SearchSpace

if TYPE_CHECKING:
    from raymoco.study.sweepfile.sweep import SearchSpec

EVERY_END = ("completed", "pruned")


@dataclass(frozen=True)
class NextTrial:
    """The trial that a sampler is built for.

    Attributes:
        space: the axes, and which of them depend on which.
        seed: the sampler's own, from the sweep file.
        number: of the trial, from 0; an earlier sweep's are not counted.
        startup_trials: how many are to be random before the sampler believes what it has seen.
        earlier: trials of another sweep (`warm_start`). They are in the study too.
    """

    space: SearchSpace
    seed: int
    number: int
    startup_trials: int = 0
    earlier: Sequence[FrozenTrial] = ()

    @property
    def trial_seed(self) -> int:
        """A seed of this trial's own, so that a resumed search draws what it would have drawn."""
        return (self.seed * 1_000_003 + self.number) % 2**32


class SearchSampler(Protocol):
    """Builds an Optuna sampler for each trial of a search.

    Derive from it and define `build`; the rest says what is special, and by default nothing is. A
    class of its own must have all five methods. It is created without arguments. `Options`, a
    pydantic model in the class, checks what stands under `sampler.options`.
    """

    @abstractmethod
    def build(self, options: Any, trial: NextTrial) -> BaseSampler:
        """The sampler of one trial: a fresh one each time, whose draws depend on `trial` alone.

        Args:
            options: an instance of `Options`; None where the class has none.
        """

    def learns_from(self, options: Any) -> Collection[str]:
        """The ends of a trial that tell the sampler anything: of `completed` and `pruned`."""
        return EVERY_END

    def moves(self, options: Any, space: SearchSpace) -> Collection[str]:
        """The axes that it chooses together; `--dry-run` calls the others drawn at random."""
        return list(space.axes)

    def points(self, options: Any, space: SearchSpace) -> list[dict[str, Any]] | None:
        """Every point that it will ever ask for; the budget is then their number. None: no list.

        Raises:
            ConfigError: this space has no such list.
        """
        return None

    def check(self, options: Any, spec: SearchSpec, space: SearchSpace) -> None:
        """Refuse a search that the sampler cannot do.

        Raises:
            ConfigError: says what stands against it; its `key` finds the line in the file.
        """
