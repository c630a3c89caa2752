"""Standard output that is full, closed, or read by nobody: of real processes."""

import subprocess
import sys

import pytest

RAYMOCO = f"{sys.executable} -m raymoco"


def shell(line):
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)


def test_a_full_output_is_an_error_in_a_sentence():
    done = shell(f"{RAYMOCO} schema sweep > /dev/full")
    assert (done.returncode, done.stderr) == (
        2,
        "error: standard output: No space left on device\n",
    )


def test_a_reader_that_wants_no_more_is_no_error():
    # more than a pipe holds, so that the writer meets the closed end
    done = shell(f"{RAYMOCO} schema sweep | head -1; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == ("{\n0\n", "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&-"])
def test_a_closed_stream_is_no_error(closed):
    done = shell(f"{RAYMOCO} schema run {closed}")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_an_encoding_lacks_is_printed_all_the_same(tmp_path):
    name = "caf\u00e9.yaml"
    done = shell(f"PYTHONIOENCODING=ascii {RAYMOCO} train {tmp_path}/{name}")
    assert done.returncode == 2
    assert "caf\\xe9.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr
