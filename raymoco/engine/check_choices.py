"""Import and check all code that a config names, before anything starts."""

from __future__ import annotations

from raymoco.choices import LOSSES
from raymoco.config import RunConfig
from raymoco.data.sources.open import require_source
from raymoco.data.views.build import require_views
from raymoco.engine.protocols.judge import build_protocols
from raymoco.errors import ConfigError
from raymoco.registry import name_of
from raymoco.ssl.build import check_method


def check_choices(config: RunConfig) -> None:
    """Refuse a config that names code which is missing or does not keep its Protocol.

    Raises:
        ConfigError: a wrong path, a class that does not keep its protocol, wrong options; names the
            key.
    """
    if name_of(config.data.source) == "folder" and not config.data.root:
        raise ConfigError(
            "data.root is null, but data.source folder needs a folder of images: `raymoco train "
            "FOLDER`, or data.root=FOLDER."
        )
    require_source(config.data)
    require_views(config.data.views, whole=config.data.view_size is not None)
    check_method(config.model, config.method)
    build_protocols(config.eval)
    loss = LOSSES.facts(config.method.loss, look=True)
    if loss.needs_labels and config.data.labelled_fraction == 0:
        raise ConfigError(
            f"method.loss is {name_of(config.method.loss)}, but data.labelled_fraction is 0."
        )
    if config.eval.labels == "visible" and config.data.labelled_fraction == 0:
        raise ConfigError(
            "eval.labels is visible, but data.labelled_fraction is 0, so no label is: let some be "
            "seen, or set eval.labels to all."
        )
