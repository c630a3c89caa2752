import pytest
from injected import faulty_gang_loop

from raymoco.study import gangs


@pytest.fixture
def faulty(monkeypatch):
    """Gangs that play the faults which a test has placed."""
    monkeypatch.setattr(gangs, "gang_loop", faulty_gang_loop)
