"""Every way in which a loss over the queue can be computed; the tests go through all of them."""

from __future__ import annotations

import pytest

from raymoco.ssl import blockwise, losses, regularizers

# of the streamed ways: the share of positives up to which they are picked, and may it be asked for
WAYS = {
    "readable": None,
    "picked": (2.0, True),
    "multiplied": (-1.0, True),
    "multiplied unasked": (0.0, False),
}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Force one way; streamed in blocks so small that the running sums are scaled many times."""
    setting = WAYS[request.param]
    for module in (losses, regularizers):
        monkeypatch.setattr(module, "pays", lambda query, queue: setting is not None)
    if setting is not None:
        share, asks = setting
        monkeypatch.setattr(blockwise, "BLOCK", 4)
        monkeypatch.setattr(blockwise, "PICKED_SHARE", share)
        monkeypatch.setattr(blockwise, "_must_not_ask", lambda labels: not asks)
    return request.param
