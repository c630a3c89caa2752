"""Reading a sweep file: every mistake found before anything starts, with its file and line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raymoco.config import RunConfig, ScaleConfig, build_run_config
from raymoco.errors import ConfigError
from raymoco.study.sweepfile.checks import _check_factors, _check_search
from raymoco.study.sweepfile.search_space import SearchSpace
from raymoco.study.sweepfile.sections import WHOLE_SWEEPS, GangConfig, Objective
from raymoco.study.sweepfile.sweep import AblationSpec, SearchSpec
from raymoco.yamlfile import Document, parse_override, read_yaml, validate


@dataclass(frozen=True)
class Sweep:
    """A sweep file read and checked: the spec and the run that it varies."""

    spec: SearchSpec | AblationSpec
    base: RunConfig

    @property
    def space(self) -> SearchSpace:
        """The axes of a search with the run behind them."""
        assert isinstance(self.spec, SearchSpec)
        return SearchSpace(self.spec.search, self.base.flat())

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What trials are ranked by; of an ablation one."""
        spec = self.spec
        return spec.objectives if isinstance(spec, SearchSpec) else (spec.objective,)

    @property
    def axes(self) -> list[str]:
        """The config keys that vary."""
        return list(self.spec.search) if isinstance(self.spec, SearchSpec) else self.spec.keys

    @property
    def trials(self) -> int:
        """How many trials the file asks for, confirmations left out."""
        spec = self.spec
        if isinstance(spec, SearchSpec):
            return spec.budget.trials
        tuning = spec.tune.trials if spec.tune else 0
        return len(spec.cells) * (len(spec.seeds) + tuning)

    @property
    def corners(self) -> list[tuple[str, dict[str, Any]]]:
        """Where it stands, and the values of a trial: at each end of each axis, in each cell."""
        spec = self.spec
        if isinstance(spec, SearchSpec):
            space = self.space
            return [
                (f"search.{key}", {**space.witness(key), key: value})
                for key, axis in spec.search.items()
                for value in axis.extremes
            ]
        ends = [
            {key: value}
            for key, axis in (spec.tune.axes if spec.tune else {}).items()
            for value in axis.extremes
        ]
        return [
            (f"the cell '{cell.name}'", {**cell.values, **end})
            for cell in spec.cells
            for end in [{}, *ends]
        ]


def load_sweep(path: Path, overrides: Iterable[str] = ()) -> Sweep:
    """Read a sweep file, with `key=value` overrides that address the file.

    Raises:
        ConfigError: anything wrong in it, with file and line: unknown keys, an axis that no run
            has, a value on an axis that the run refuses.
    """
    document = read_yaml(path)
    for text in overrides:
        _apply(document, text)
    kind = document.values.get("kind")
    if kind not in ("search", "ablation"):
        raise ConfigError(
            f"{document.origin(('kind',)) or path}: kind is {kind!r}, but must be search or "
            "ablation."
        )
    run_document = document.part("run")
    for key in WHOLE_SWEEPS:
        if key in run_document.values:
            where = run_document.origin((key,))
            instead = "gang" if key == "scale" else key
            raise ConfigError(
                f"{where}: run.{key} belongs to the whole sweep: set {instead} instead."
            )
    spec: SearchSpec | AblationSpec = (
        validate(SearchSpec, document) if kind == "search" else validate(AblationSpec, document)
    )
    base = build_run_config(run_document, prefix="run.")
    spec = spec.model_copy(update={"gang": _complete(spec.gang, base.scale)})
    base = base.with_values(
        {
            "scale": spec.gang.scale.model_dump(),
            "output": spec.output,
            "tracking": spec.tracking.model_dump(),
        }
    )
    if isinstance(spec, SearchSpec):
        spec = _check_search(spec, base, document, path)
    else:
        _check_factors(spec, base, document)
    resolved = base.model_dump(exclude={"scale", "output", "tracking", "name"})
    spec = spec.model_copy(update={"run": resolved})
    return Sweep(spec, base)


def _complete(gang: GangConfig, scale: ScaleConfig) -> GangConfig:
    """What `gang` does not say of workers, CPUs and GPUs is as the preset of the run has it."""
    unsaid = ScaleConfig.model_fields.keys() - gang.model_fields_set
    return gang.model_copy(update={name: getattr(scale, name) for name in unsaid})


def _apply(document: Document, text: str) -> None:
    key, value = parse_override(text)
    origin = f"command line: {text}"
    head, _, axis = key.partition(".")
    if head == "search" and axis:  # an axis is one key, dots and all
        searched = document.values.setdefault("search", {})
        searched[axis] = value
        document.origins[("search", axis)] = origin
    else:
        document.set(key, value, origin)
