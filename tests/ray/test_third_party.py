"""Somebody's code lies in the working directory of the command, and Ray's workers find it."""

import subprocess
import sys

from raymoco.engine.metrics_csv import read_metrics
from tests.unit.data.third_party import write_arrays, write_package

TRACED = '''
import os

from mylab.sources import Arrays


class Traced(Arrays):
    """Notes which processes read."""

    def read(self, places):
        with (self._folder / "readers").open("a") as file:
            file.write(f"{os.getpid()}\\n")
        yield from super().read(places)
'''


def test_workers_import_what_lies_in_the_working_directory_of_the_command(head, tmp_path):
    write_package(tmp_path)
    (tmp_path / "mylab" / "traced.py").write_text(TRACED)
    folder = write_arrays(tmp_path / "arrays")
    # so many bytes that shards are built through Ray Data
    source = f"{{name: mylab.traced:Traced, path: {folder}, claimed_bytes: 200000}}"
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "raymoco", "train", "digits"),
            *(f"data.source={source}", "data.views={name: mylab.views:Noise, strength: 0.2}"),
            *("epochs=2", "optim.batch_size=32", "method.queue_size=32", "eval.linear.epochs=2"),
            *("name=theirs", f"output={tmp_path / 'out'}", "tracking.uri=none"),
        ],
        env={**head.environment, "RAY_ADDRESS": head.address},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    readers = set((folder / "readers").read_text().split())
    assert len(readers) > 1, "the driver measures a few images, and others build"
    rows = read_metrics(tmp_path / "out" / "theirs" / "metrics.csv")
    assert [row["epoch"] for row in rows] == [1, 2]
