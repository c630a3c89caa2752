"""The plan of an ablation as it stood when the sweep began: margin, seeds and looks.

A margin, a seed or a look that is chosen after results were seen makes an error more likely than
5 %. So the first driver records the plan in the journal, as tags of its `begun` event. Version 0.1
recorded none: there the plan is unknown, the file is believed, and the report says so.
"""

from __future__ import annotations

from raymoco.study.journal.ledger import Ledger
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.search_spec import SearchSpec

MARGIN = "raymoco.margin"
SEEDS = "raymoco.planned_seeds"
LOOKS = "raymoco.looks"
NONE = "none"


def plan_tags(spec: SearchSpec | AblationSpec) -> dict[str, str]:
    """Return the plan of an ablation as tags; a search has none."""
    if isinstance(spec, SearchSpec):
        return {}
    return {MARGIN: _margin(spec), SEEDS: str(len(spec.seeds)), LOOKS: _looks(spec)}


def margin_stood(spec: AblationSpec, ledger: Ledger) -> bool:
    """Whether the file's margin is the one with which the sweep began, as far as is known."""
    return _planned(ledger).get(MARGIN, _margin(spec)) == _margin(spec)


def plan_notes(spec: SearchSpec | AblationSpec, ledger: Ledger) -> list[str]:
    """Return a sentence for each part of the plan that was changed, or is unknown and matters."""
    if isinstance(spec, SearchSpec) or not ledger.begun:
        return []
    planned, notes = _planned(ledger), []
    if spec.margin is not None and MARGIN not in planned:
        notes.append(
            f"The margin {spec.margin} is that of the file. The version that began this sweep did "
            "not record since when it has been there."
        )
    elif spec.margin is None and not margin_stood(spec, ledger):
        notes.append(
            f"The sweep began with margin {planned[MARGIN]}, which is not in the file any more: "
            "nothing is tested against it."
        )
    elif not margin_stood(spec, ledger):
        began = "none" if planned[MARGIN] == NONE else f"margin {planned[MARGIN]}"
        notes.append(
            f"The margin {_margin(spec)} was set after the sweep began (it began with {began}): "
            "its tests are shown, but nothing is called negligible by it."
        )
    added = len(spec.seeds) - int(planned.get(SEEDS, len(spec.seeds)))
    if added > 0:
        notes.append(
            f"{planned[SEEDS]} seeds were planned, and {added} were added after the sweep began: "
            "if a result was the reason, its p is too small. `looks` plans such steps."
        )
    if planned.get(LOOKS, _looks(spec)) != _looks(spec):
        notes.append(
            f"The looks were changed after the sweep began, from {planned[LOOKS]} to "
            f"{_looks(spec)}: the levels are not those that were planned."
        )
    return notes


def _planned(ledger: Ledger) -> dict[str, str]:
    return ledger.begun[0] if ledger.begun else {}


def _margin(spec: AblationSpec) -> str:
    return NONE if spec.margin is None else repr(spec.margin)


def _looks(spec: AblationSpec) -> str:
    return NONE if spec.looks is None else str(spec.looks)
