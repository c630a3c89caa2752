"""What lies where the command was typed is found by Ray's workers, and hides nothing."""

import subprocess
import sys
from pathlib import Path

import raymoco

ROOT = Path(raymoco.__file__).parents[1]
FAR = """\
import sys
from pathlib import Path
import ray
from raymoco.config import ScaleConfig
from raymoco.engine.cluster import connect

def imported():
    import in_the_directory
    return in_the_directory.__file__

with connect(ScaleConfig(), Path(sys.argv[1])):
    print(ray.get(ray.remote(imported).remote()))
"""


def test_a_file_named_like_one_of_pythons_own_keeps_no_worker_from_starting(head, tmp_path):
    (tmp_path / "in_the_directory.py").write_text("")
    (tmp_path / "queue.py").write_text("raise RuntimeError('mine')")
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", FAR, str(tmp_path / "out")],
        cwd=tmp_path,
        env={**head.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout.split() == [str(tmp_path / "in_the_directory.py")], done.stderr
