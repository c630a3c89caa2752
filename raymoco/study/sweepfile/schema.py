"""The JSON Schema of a sweep file."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from raymoco.config import RunConfig
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.search_spec import SearchSpec
from raymoco.study.sweepfile.sections import WHOLE_SWEEPS


def sweep_schema() -> dict[str, Any]:
    """Return the JSON Schema of a sweep file; its `run` lacks the keys of the whole sweep."""
    found = TypeAdapter(SearchSpec | AblationSpec).json_schema()
    run = RunConfig.model_json_schema()
    found["$defs"] |= run.pop("$defs")
    run["properties"] = {
        "preset": {"type": "string"},
        **{key: value for key, value in run["properties"].items() if key not in WHOLE_SWEEPS},
    }
    found["$defs"]["run"] = run
    for spec in ("SearchSpec", "AblationSpec"):
        found["$defs"][spec]["properties"]["run"] = {"$ref": "#/$defs/run"}
    return found
