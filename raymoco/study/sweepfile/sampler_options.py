"""The `sampler` section: the sampler that proposes a search's trials, and its options."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from raymoco.choices import SAMPLERS
from raymoco.config import Count, StrictModel
from raymoco.errors import ConfigError
from raymoco.study.sweepfile.registered import check_options_of, load_code, name_type
from raymoco.study.sweepfile.search_sampler import SearchSampler
from raymoco.study.sweepfile.search_space import SearchSpace

STARTUP = 6
INSTEAD = {"n_startup_trials": "startup_trials", "seed": "seed"}  # Optuna's option: our key


def _describe_options(schema: dict[str, Any]) -> None:
    """Describe in the JSON Schema which options belong to which name."""
    schema["allOf"] = [
        {
            "if": {
                "properties": {"name": {"const": name}},
                **({} if name == "tpe" else {"required": ["name"]}),  # tpe is the default
            },
            "then": {"properties": {"options": SAMPLERS.load(name).Options.model_json_schema()}},
        }
        for name in SAMPLERS.choices
    ]


class Sampler(StrictModel):
    """The sampler that proposes trials; the first `startup_trials` are random.

    `options` are the sampler's own options, by Optuna's names.
    """

    model_config = ConfigDict(json_schema_extra=_describe_options)

    name: name_type(SAMPLERS) = "tpe"  # type: ignore[valid-type]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    startup_trials: Count = STARTUP
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def code(self) -> SearchSampler:
        """Create the sampler that the name stands for.

        Raises:
            ConfigError: the name stands for nothing, or for something else than a sampler.
        """
        found: SearchSampler = load_code(SAMPLERS, self.name)
        return found

    @property
    def chosen(self) -> Any:
        """The options with their defaults, checked by the sampler's own model.

        Raises:
            ConfigError: an option that the sampler does not have, or a value that it does not take.
        """
        code = self.code
        known = getattr(getattr(code, "Options", None), "model_fields", {})
        for key in self.options:
            if key in INSTEAD and key not in known:
                raise ConfigError(
                    f"sampler.options.{key} is given beside options: set {INSTEAD[key]} instead.",
                    ("sampler", "options", key),
                )
            owners = [n for n in SAMPLERS.choices if key in SAMPLERS.load(n).Options.model_fields]
            if owners and key not in known:
                raise ConfigError(
                    f"sampler.options.{key}: {self.name} has no such option; it belongs to "
                    f"{' and '.join(owners)}. Its options are: {', '.join(known) or 'none'}.",
                    ("sampler", "options", key),
                )
        return check_options_of(code, self.options, ("sampler", "options"), self.name)

    def points(self, space: SearchSpace) -> list[dict[str, Any]] | None:
        """Every point of a sampler that lists its points, as `grid` does."""
        return self.code.points(self.chosen, space)


def independent_axes(sampler: Sampler, space: SearchSpace) -> list[str]:
    """Return the axes that the sampler cannot model jointly, and draws at random."""
    together = sampler.code.moves(sampler.chosen, space)
    return [key for key in space.axes if key not in together]


def learns_from_completed_alone(sampler: Sampler) -> bool:
    """Whether the sampler learns nothing from trials that were stopped early."""
    learned = sampler.code.learns_from(sampler.chosen)
    return "completed" in learned and "pruned" not in learned
