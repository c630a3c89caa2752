"""Look at all code that a config names, before anything starts: it is imported, and no more."""

from __future__ import annotations

from raymoco.config import RunConfig
from raymoco.data.sources.open import require_source
from raymoco.data.views.build import require_views


def check_choices(config: RunConfig) -> None:
    """Refuse a config that names code which is not there or is not what it must be.

    Raises:
        ConfigError: a wrong path, a class that does not keep its protocol, wrong options; names the
            key.
    """
    require_source(config.data)
    require_views(config.data.views)
