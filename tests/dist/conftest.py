from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the workers import the same modules by name

from gloo_pool import GlooPool


@pytest.fixture(scope="session")
def pool():
    pool = GlooPool()
    yield pool
    pool.close()
