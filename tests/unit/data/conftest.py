"""A package outside raymoco that can be imported, for as long as a test runs."""

import sys

import pytest

from tests.unit.data.third_party import write_arrays, write_package


@pytest.fixture
def mylab(tmp_path, monkeypatch):
    """The value of `data.source` that names somebody's source, its files written."""
    write_package(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    path = write_arrays(tmp_path / "arrays")
    yield {"name": "mylab.sources:Arrays", "path": str(path)}
    for name in [name for name in sys.modules if name.partition(".")[0] == "mylab"]:
        del sys.modules[name]
