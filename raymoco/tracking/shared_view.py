"""The page of MLflow's interface on which a sweep's trials are compared.

MLflow's interface stores the state of its runs page as an experiment tag, for everybody who opens
the page with `viewStateShareKey`. This writes such a state: the sweep's own trials, best first, the
columns that vary, and charts of the objective. Keys are those of MLflow 3.17's `mlflow/server/js`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raymoco.metrics import with_results

SECTION = "raymoco"
SHOWN_RUNS = 100
AXES = 8  # more axes make a chart unreadable


def view_key(identity: str) -> str:
    """The name under which a sweep's view is stored."""
    return f"raymoco-{identity[:12]}"


def comparison_view(
    name: str, metric: str, mode: str, axes: Sequence[str], identity: str
) -> dict[str, Any]:
    """The view of one sweep.

    Args:
        name: of the sweep, as the page's heading says it.
        metric: what its trials are judged by.
        mode: `max` or `min`: which way of the metric is better.
        axes: the config keys that vary, the most important first.
        identity: the sweep's own, as its runs are tagged with.
    Returns:
        `key`, and `state` as MLflow's interface reads it.
    """
    varied = list(axes[:AXES])
    charts = [
        _chart(
            "PARALLEL",
            "parallel",
            f"what varies, and {metric}",
            selectedParams=varied,
            selectedMetrics=[metric],
            showAllRuns=False,
        ),
        _chart(
            "LINE",
            "curves",
            f"{metric} by epoch",
            metricKey=metric,
            selectedMetricKeys=[metric],
            xAxisKey="step",
            lineSmoothness=0,
            useGlobalXaxisKey=True,
            useGlobalLineSmoothing=True,
        ),
        _chart("BAR", "last", f"{metric}, last", metricKey=metric, selectedMetricKeys=[metric]),
    ]
    columns = ["attributes.`Duration`", "tags.`raymoco.state`", *map(_param, varied)]
    columns += [_metric(name) for name in with_results(metric)]
    state = {
        "searchFilter": (
            f"tags.`raymoco.sweep_id` = '{identity}' and tags.`raymoco.kind` = 'trial'"
        ),
        "orderByKey": _metric(metric),
        "orderByAsc": mode == "min",
        "selectedColumns": columns,
        "runsHiddenMode": "SHOWALL",
        "isAccordionReordered": True,  # or the section would be sorted behind the others
        "compareRunCharts": charts,
        "compareRunSections": [
            {
                "uuid": SECTION,
                "name": name,
                "display": True,
                "isReordered": False,
                "deleted": False,
                "isGenerated": False,
            }
        ],
    }
    return {"key": view_key(identity), "state": state}


def view_path(experiment_id: str, identity: str) -> str:
    """The address of the view, relative to the server's root."""
    key = view_key(identity)
    return f"/#/experiments/{experiment_id}/runs?viewStateShareKey={key}&compareRunsMode=CHART"


def _chart(kind: str, name: str, title: str, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": f"raymoco-{name}",
        "displayName": title,
        "metricSectionId": SECTION,
        "runsCountToCompare": SHOWN_RUNS,
        "deleted": False,
        "isGenerated": False,
        **more,
    }


def _param(name: str) -> str:
    return f"params.`{name}`"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"
