"""What both kinds of sweep file have, search and ablation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from raymoco.config import StrictModel, TrackingConfig
from raymoco.study.sweepfile.axis import Axis
from raymoco.study.sweepfile.search_space import SearchSpace
from raymoco.study.sweepfile.sections import GangConfig, Pace
from raymoco.yamlfile import dump_yaml


class SweepSpec(StrictModel):
    """The keys of both kinds of sweep file. `raymoco schema sweep` prints the schema.

    Search and ablation have the same interface for what they do differently: `objective` and
    `objectives`, `tuned_on`, `axes`, `sampled`, `trials`, `confirmations`, `phase_of`, `extremes`,
    `count_in_words`, `question`. `base` is every value of the base run by dotted key.
    """

    kind: Literal["search", "ablation"]
    name: Annotated[str, Field(pattern=r"^\w[\w.+=-]*$")]
    run: dict[str, Any] = Field(default_factory=dict)
    budget: Pace = Pace()
    gang: GangConfig = GangConfig()
    output: str = "runs"
    tracking: TrackingConfig = TrackingConfig()

    def to_yaml(self) -> str:
        """Return the resolved file; running it repeats the sweep."""
        values = self.model_dump(by_alias=True, exclude_none=True, mode="json")
        return dump_yaml({key: value for key, value in values.items() if value != []})

    @property
    def sampled(self) -> dict[str, Axis]:
        """The axes that values are drawn from."""
        raise NotImplementedError

    def space(self, base: Mapping[str, Any]) -> SearchSpace:
        """Return the sampled axes, with the values of the base run."""
        return SearchSpace(self.sampled, base)

    @property
    def trials(self) -> int:
        """The number of trials of the file, without confirmations."""
        raise NotImplementedError

    @property
    def confirmations(self) -> int:
        """The number of trials that confirm the best of a search."""
        return 0

    @property
    def planned_trials(self) -> int:
        """The number of all trials of the file, with confirmations."""
        return self.trials + self.confirmations
