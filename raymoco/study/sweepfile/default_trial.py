"""Whether a search tries the run as it stands, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raymoco.errors import ConfigError
from raymoco.study.sweepfile.load import Sweep


def default_left_out(sweep: Sweep, values: Mapping[str, Any]) -> str:
    """Say why the run as it stands is not the first trial of a search; '' if it is.

    Args:
        values: every value of the run by dotted key, its `auto` values written out.
    Raises:
        ConfigError: `enqueue_default` asks for it, but it lies outside an axis.
    """
    spec, space = sweep.search, sweep.space
    if spec is None:
        return ""
    outside = space.outside(values)
    if outside and spec.enqueue_default:
        raise ConfigError(f"enqueue_default is true, but {outside}.")
    if outside:
        return f"the run as it stands is none of the trials: {outside}"
    if spec.enqueue_default is False:
        return "the run as it stands is not tried first: enqueue_default is false"
    return ""
