"""cluster/README.md's recipe, as it is printed, and the driver on the cluster that it leaves.

Each head has a HOME of its own: whether Ray asks for tokens depends on what lies in it.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.ports import free_port
from tests.small import small_words

ROOT = Path(__file__).parents[2]
SMALL = "budget.trials=2 budget.concurrent=1 run.epochs=1 run.model.width=4 "
SMALL += "scheduler.name=none confirm=null"
TRAIN = small_words(epochs=1, name="one", tracking__uri="none")


def printed() -> str:
    """The commands of the first block, without the last one: it would end every head around."""
    text = (ROOT / "cluster" / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"## One machine .*?```bash\n(.*?)```", text, re.DOTALL)
    commands, stop = block.rstrip("\n").rsplit("\n", 1)
    assert stop == ".venv/bin/ray stop"
    return commands


def substituted(text: str, **words: str) -> str:
    """The text with words in other words' places, each of which must be there once."""
    for old, new in words.items():
        assert text.count(old) == 1, f"{old} is not in the recipe"
        text = text.replace(old, new)
    return text


class Recipe:
    """What is printed, typed in a HOME of its own; ports, and the size of its sweep, aside."""

    def __init__(self, home: Path, more: str) -> None:
        self.home, self.folder = home, tempfile.mkdtemp(prefix="rm-")  # Ray's sockets lie in it
        port, dashboard, client, agent = (free_port() for _ in range(4))
        self.address = f"127.0.0.1:{port}"
        work = home / "raymoco-checkout"
        work.mkdir()
        for name in ("raymoco", "sweeps", ".gitignore"):
            os.symlink(ROOT / name, work / name)
        os.symlink(sys.prefix, work / ".venv")
        head = f"ray start --head --port={port} --dashboard-port={dashboard}"
        head += f" --ray-client-server-port={client} --dashboard-agent-listen-port={agent}"
        head += f" --temp-dir={self.folder} --node-ip-address=127.0.0.1"
        script = substituted(
            printed(),
            **{"ray start --head": head, ":8265": f":{dashboard}", "budget.trials=4": more},
        )
        outside = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        self.environment = {**outside, "HOME": str(home), "RAY_USAGE_STATS_ENABLED": "0"}
        self.done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=work, env=self.environment, capture_output=True, text=True, timeout=200,
            check=False,
        )  # fmt: skip

    def raymoco(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`raymoco ...` of somebody who knows nothing but the head's address."""
        return subprocess.run(
            [sys.executable, "-m", "raymoco", *words],
            env={**self.environment, "RAY_ADDRESS": self.address, **environment},
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip

    def end(self) -> None:
        """Kill what was started here: whatever names the folder, and its children."""
        for one in psutil.process_iter():
            with suppress(psutil.Error):
                if any(self.folder in word for word in one.cmdline()):
                    for process in [*one.children(recursive=True), one]:
                        with suppress(psutil.NoSuchProcess):
                            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def followed(home: Path, more: str):
    recipe = Recipe(home, more)
    try:
        yield recipe
    finally:
        recipe.end()


@pytest.fixture(scope="module")
def after_the_demo(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("a" * 64)  # as a local ray.init leaves it
    with followed(home, SMALL) as recipe:
        yield recipe


def test_the_recipe_runs_as_printed_on_a_machine_that_has_run_the_demo(after_the_demo):
    done = after_the_demo.done
    assert done.returncode == 0, done.stdout + done.stderr
    with (after_the_demo.home / "raymoco" / "runs" / "demo" / "trials.csv").open() as stream:
        assert [row["state"] for row in csv.DictReader(stream)] == ["completed"] * 2


def test_the_recipe_runs_as_printed_on_a_machine_that_has_not(tmp_path):
    with followed(tmp_path, "--dry-run") as recipe:
        assert recipe.done.returncode == 0, recipe.done.stdout + recipe.done.stderr
        assert "succeeded" in recipe.done.stdout + recipe.done.stderr


def test_a_driver_brings_the_token_that_the_cluster_asks_for(after_the_demo, tmp_path):
    done = after_the_demo.raymoco(*TRAIN, f"output={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "one" / "metrics.csv").exists()


def test_a_driver_without_the_token_says_so_at_once(after_the_demo, tmp_path):
    (tmp_path / ".ray").mkdir()
    words = (*TRAIN, f"output={tmp_path}")
    home = {"HOME": str(tmp_path)}
    for environment, said in [
        (home, "asks for a token, and there is none here"),
        ({**home, "RAY_AUTH_TOKEN": "b" * 64}, "asks for a token, and the one here is another"),
        ({"RAY_AUTH_MODE": "disabled"}, "asks for a token, but RAY_AUTH_MODE is disabled"),
    ]:
        done = after_the_demo.raymoco(*words, **environment)
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "one").exists()
