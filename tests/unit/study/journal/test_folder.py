"""Opening a sweep's folder again: what a resume may change."""

import pytest

from raymoco.errors import ConfigError
from raymoco.study.journal.folder import lease, open_folder

FILE = """\
kind: ablation
budget:
  concurrent: 2
gang:
  workers: 1
run:
  epochs: 4
seeds:
- 0
- 1
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sweep.yaml").write_text(FILE)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("concurrent: 2", "concurrent: 8"),
        ("workers: 1", "workers: 2\n  max_failures: 0"),
        ("- 1", "- 1\n- 2"),
    ],
)
def test_budget_and_gang_may_change_and_seeds_may_be_added(folder, old, new):
    assert open_folder(folder, FILE.replace(old, new), resume=True).all() == []


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [("epochs: 4", "epochs: 5", "+  epochs: 5"), ("- 1\n", "", "-- 1"), ("- 1", "- 3", "+- 3")],
)
def test_anything_else_is_refused_with_the_lines_that_differ(folder, old, new, shown):
    with pytest.raises(ConfigError, match="begun with another file") as refused:
        open_folder(folder, FILE.replace(old, new), resume=True)
    assert shown in str(refused.value).split("\n")


def test_a_folder_that_another_driver_holds_is_refused_at_once(folder):
    with lease(folder), pytest.raises(ConfigError, match="another process is running this sweep"):
        open_folder(folder, FILE, resume=True)
