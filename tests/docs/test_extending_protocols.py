"""The code of docs/extending_protocols.md runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from raymoco.config import load_run_config

PAGE = Path(__file__).parents[2] / "docs" / "extending_protocols.md"


def test_what_the_page_shows_keeps_the_suites_and_its_config_loads(tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    files = re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(files) == 5
    for name, content in files:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    config = load_run_config(str(tmp_path / "mine.yaml"))
    assert config.eval.protocols[1] == {"name": "mylab.protocols:ClassMeans", "shrink": 0.1}
    tests = ["test_protocols.py", "test_trackers.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
