"""Folders as version 0.1 left them, put where a test wants them.

They were made by commit faf1a5b and hold @OUTPUT@ where the output folder's path stood: `run` is a
finished run, `ablation` a finished ablation, `search` was ended by Ctrl-C, and the driver of
`killed` was killed in the sixth epoch of its third trial.
"""

from __future__ import annotations

import shutil
from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures" / "v0_1"


def put_old_folder(name: str, output: Path) -> Path:
    """A copy of one of the folders in an output folder."""
    folder = output / name
    shutil.copytree(FIXTURES / name, folder)
    for path in folder.rglob("*"):
        if path.suffix in {".yaml", ".jsonl", ".csv", ".txt", ".log"}:
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace("@OUTPUT@", str(output)), encoding="utf-8")
    return folder
