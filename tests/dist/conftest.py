from __future__ import annotations


import pytest


from tests.dist.gloo_pool import GlooPool


@pytest.fixture(scope="session")
def pool():
    pool = GlooPool()
    yield pool
    pool.close()
