"""Names that file systems do not take: files are called after trials."""

from __future__ import annotations

import os
from collections.abc import Iterator

from raymoco.errors import ConfigError
from raymoco.study.sweepfile.load import Sweep

# of 255 bytes, as file systems have them, less what predictions are called while they are written:
# .ID.npz.12345678
LONGEST_ID = 255 - 14


def check_trial_names(sweep: Sweep) -> None:
    """Refuse names of factors, levels or baselines that make a trial's name too long for a file.

    A folder that is there already is read all the same.

    Raises:
        ConfigError: names the cell, the length and the bound.
    """
    for whose, trial_id in _longest_ids(sweep):
        length = len(os.fsencode(trial_id))
        if length > LONGEST_ID:
            raise ConfigError(
                f"{whose} gives a trial a name of {length} bytes, '{trial_id[:20]}...', but it "
                f"may have {LONGEST_ID}, because files are called after it: shorten the names of "
                "factors or levels."
            )


def _longest_ids(sweep: Sweep) -> Iterator[tuple[str, str]]:
    """Yield whose trials they are, and the longest id of them."""
    search, ablation = sweep.search, sweep.ablation
    if search is not None and search.confirm is not None:
        for name in search.confirm.against:
            yield f"confirm.against.{name[:40]}", f"{name}-s{max(search.confirm.seeds)}"
    for cell in ablation.cells if ablation is not None else ():
        assert ablation is not None
        whose = f"the cell '{cell.name[:40]}'"
        yield whose, f"{cell.slug}-s{max(ablation.seeds)}"
        if ablation.tune is not None:
            yield whose, f"tune-{cell.slug}-s{max(ablation.tune.tunings)}-000"
