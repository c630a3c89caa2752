"""Which metrics a config reports, and so what a study may be judged by; nothing needs torch here.

What somebody else's protocol reports is known to its code alone. A file is read without it, so that
an old folder can be shown anywhere; before anything starts it is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raymoco.choices import PROTOCOLS
from raymoco.config import RunConfig
from raymoco.errors import ConfigError
from raymoco.metrics import LISTED, Metric, computed_by, is_measured
from raymoco.registry import name_of
from raymoco.yamlfile import nearest

if TYPE_CHECKING:
    from raymoco.config import EvalConfig


def active_protocols(config: EvalConfig) -> list[str | dict[str, object]]:
    """The protocols that judge a run: the listed ones that no option leaves out, then every run's.

    Returns:
        Values as the config has them.
    """
    listed = [one for one in config.protocols if not _is_left_out(config, name_of(one))]
    return [*listed, *(name for name, choice in PROTOCOLS.choices.items() if choice.always)]


def reported_metrics(config: RunConfig, *, imports: bool) -> dict[str, Metric]:
    """Return every metric by which a study of this config could be judged, by name.

    Args:
        imports: whether to import third-party protocols; without, their metrics are missing.
    Raises:
        ConfigError: a protocol is not there, or is none.
    """
    ours = {choice.path for choice in PROTOCOLS.choices.values()}
    # the metrics of training itself
    found = {m.name: m for m in LISTED.values() if m.decides and m.computed not in ours}
    for value in active_protocols(config.eval):
        choice = PROTOCOLS.find(value)
        if choice is not None:
            found |= {metric.name: metric for metric in computed_by(choice.path) if metric.decides}
        elif imports:
            from raymoco.engine.protocols.judge import build_protocol

            found |= {metric.name: metric for metric in build_protocol(config.eval, value).metrics}
    order = {name: place for place, name in enumerate(LISTED)}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))


def require_reported(metric: str, config: RunConfig, *, imports: bool) -> None:
    """Refuse a metric that no trial with this config would report, and name the nearest.

    Args:
        imports: as for `reported_metrics`; without, possible third-party metrics are accepted.
    Raises:
        ConfigError: no trial reports it.
    """
    known = reported_metrics(config, imports=imports)
    if metric in known:
        return
    others = [one for one in config.eval.protocols if PROTOCOLS.find(one) is None]
    if others and not imports and is_measured(metric):
        return
    listed = ", ".join(name_of(one) for one in config.eval.protocols) or "empty"
    hint = nearest(metric, known)
    why = f"; eval.protocols is {listed}." if metric in LISTED or others else hint
    raise ConfigError(f"no trial reports '{metric}'{why} There are: {', '.join(known)}")


def _is_left_out(config: EvalConfig, name: str) -> bool:
    choice = PROTOCOLS.find(name)
    if choice is None or choice.left_out is None:
        return False
    option, value = choice.left_out
    return bool(getattr(getattr(config, choice.section), option) == value)
