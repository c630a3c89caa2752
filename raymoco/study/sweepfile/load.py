"""Read a sweep file and check it before anything starts; errors name file and line."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from os.path import isfile  # Path's own raises where a name is too long
from pathlib import Path
from typing import Any

from raymoco.config import RunConfig, ScaleConfig, compose_run
from raymoco.config.presets import SWEEP_FILE, SWEEP_KINDS
from raymoco.dotted_keys import spread
from raymoco.engine.local_paths import with_absolute_paths
from raymoco.engine.output_folder import MARKS, resolve_output
from raymoco.errors import ConfigError
from raymoco.files import absolute
from raymoco.passwords import hide
from raymoco.reading import shown
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.checks import check_ablation, check_search
from raymoco.study.sweepfile.search_space import SearchSpace
from raymoco.study.sweepfile.search_spec import SearchSpec
from raymoco.study.sweepfile.sections import WHOLE_SWEEPS, GangConfig, Objective
from raymoco.yamlfile import Document, parse_override, read_yaml, text_keys, validate

SAVED = MARKS["sweep"]  # the resolved file in a sweep's folder
# below these keys the rest of a dotted key is one key: `search.optim.lr`
WHOLE_BELOW = ("search", "run", "tune.axes")
# keys that a run's config has at the top, and a sweep file does not
OF_A_RUN = ("preset", "data", "model", "method", "optim", "epochs", "eval")


@dataclass(frozen=True)
class Sweep:
    """A checked sweep file: the spec and the run that it varies.

    `notes` says what the run's preset found in the images, and what it decided. `home` is the
    output folder of a file that lies in a sweep's own folder: it means this one, wherever the
    command is typed and the folder was moved to.
    """

    spec: SearchSpec | AblationSpec
    base: RunConfig
    notes: tuple[str, ...] = ()
    home: Path | None = None

    @property
    def output(self) -> Path:
        """The absolute output folder."""
        return self.home or resolve_output(self.spec.output)

    @property
    def search(self) -> SearchSpec | None:
        """The spec of a search; None for an ablation.

        Use it for what only a search has, such as its sampler; use `spec` for what both have.
        """
        return self.spec if isinstance(self.spec, SearchSpec) else None

    @property
    def ablation(self) -> AblationSpec | None:
        """The spec of an ablation; None for a search."""
        return self.spec if isinstance(self.spec, AblationSpec) else None

    @property
    def space(self) -> SearchSpace:
        """The sampled axes, with the values of the base run."""
        return self.spec.space(self.base.flat())

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives by which trials are ranked; an ablation has one."""
        return self.spec.objectives

    @property
    def axes(self) -> list[str]:
        """The config keys that vary."""
        return self.spec.axes

    @property
    def corners(self) -> list[tuple[str, dict[str, Any]]]:
        """Descriptions and values of extreme trials: each end of each axis, in each cell."""
        return self.spec.extremes(self.base.flat())


def load_sweep(path: Path, overrides: Iterable[str] = ()) -> Sweep:
    """Read a sweep file to run it, with `key=value` overrides of its keys.

    Raises:
        ConfigError: any mistake in it, with file and line: unknown keys, an axis that no run has, a
            value on an axis that the run refuses, a third-party sampler or scheduler that is
            missing or does not keep its Protocol.
    """
    return _load(path, overrides, imports=True)


def read_sweep(path: Path) -> Sweep:
    """Read the file of an existing sweep without importing third-party code, which may be missing.

    Raises:
        ConfigError: as `load_sweep`, except for third-party samplers and schedulers.
    """
    return _load(path, (), imports=False)


def _load(path: Path, overrides: Iterable[str], *, imports: bool) -> Sweep:
    if isfile(path / SWEEP_FILE):
        name = shown(path)
        raise ConfigError(f"{name} is a folder: its sweep file is {name}/{SWEEP_FILE}.")
    document = read_yaml(path)
    folder = absolute(path).resolve().parent
    own = path.name == SAVED and document.values.get("name") == folder.name
    if own:
        _as_begun(document)
    spec = AblationSpec if document.values.get("kind") == "ablation" else SearchSpec
    spread(document, spec, whole=WHOLE_BELOW)
    spread(document, RunConfig, at=("run",))
    said = list(overrides)
    for text in said:
        _apply(document, text)
    elsewhere = any(text.startswith(("output=", "name=")) for text in said)
    with document.locating(str(path)):
        loaded = _build(document, imports=imports)
    return replace(loaded, home=folder.parent if own and not elsewhere else None)


def _as_begun(document: Document) -> None:
    """Let a sweep of an older version keep all that it has: there was no `losers` to choose."""
    run = document.values.get("run")
    kept = run.get("checkpoint") if isinstance(run, dict) else None
    if isinstance(kept, dict):
        kept.setdefault("losers", "all")


def _build(document: Document, *, imports: bool) -> Sweep:
    kind = document.values.get("kind")
    if kind is None and set(OF_A_RUN) & document.values.keys():
        raise ConfigError(
            "this is the config of a run, which `raymoco train` takes; a sweep file has a kind, "
            "search or ablation, and the run below the key run.",
            ("kind",),
        )
    if kind not in SWEEP_KINDS:
        raise ConfigError(f"kind is {kind!r}, but must be search or ablation.", ("kind",))
    run_document = document.part("run")
    for key in WHOLE_SWEEPS:
        if key in run_document.values:
            instead = "gang" if key == "scale" else key
            raise ConfigError(
                f"run.{key} belongs to the whole sweep: set {instead} instead.", ("run", key)
            )
    if kind == "search":
        search = validate(SearchSpec, document)
        base, notes = _base_run(search, run_document)
        return _resolved(check_search(search, base, imports=imports), base, notes)
    ablation = validate(AblationSpec, document)
    base, notes = _base_run(ablation, run_document)
    check_ablation(ablation, base)
    return _resolved(ablation, base, notes)


def _base_run(
    spec: SearchSpec | AblationSpec, run_document: Document
) -> tuple[RunConfig, tuple[str, ...]]:
    """Return the run that is varied, with the settings of the whole sweep, and its notes."""
    with run_document.locating():
        found = compose_run(run_document, prefix="run.")
    base = found.config
    at_home = with_absolute_paths(base)  # a resume may be typed elsewhere
    whole = base.with_values(
        {
            "data": at_home.data.model_dump(),
            "scale": _complete(spec.gang, base.scale).scale.model_dump(),
            "output": spec.output,
            "tracking": spec.tracking.model_dump(),
        }
    )
    return whole, found.notes


def _resolved(spec: SearchSpec | AblationSpec, base: RunConfig, notes: tuple[str, ...]) -> Sweep:
    run = base.model_dump(exclude={"scale", "output", "tracking", "name"})
    gang = _complete(spec.gang, base.scale)
    return Sweep(spec.model_copy(update={"run": run, "gang": gang}), base, notes)


def _complete(gang: GangConfig, scale: ScaleConfig) -> GangConfig:
    """Fill in the workers, CPUs and GPUs that `gang` leaves out, from the preset of the run."""
    unsaid = ScaleConfig.model_fields.keys() - gang.model_fields_set
    return gang.model_copy(update={name: getattr(scale, name) for name in unsaid})


@functools.cache
def _text_keys() -> frozenset[str]:
    run = {f"run.{key}" for key in ("preset", *text_keys(RunConfig))}
    return frozenset({*run, *text_keys(SearchSpec), *text_keys(AblationSpec)})


def _apply(document: Document, text: str) -> None:
    key, value = parse_override(text, _text_keys())
    origin = f"command line: {hide(text)}"
    head, _, axis = key.partition(".")
    if head == "search" and axis:  # an axis is one key, dots and all
        searched = document.values.setdefault("search", {})
        searched[axis] = value
        document.origins[("search", axis)] = origin
    else:
        document.set(key, value, origin)
