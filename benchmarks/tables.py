"""What a bench prints, and the JSON that it leaves."""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table as RichTable

Cell = str | float | int | None


@dataclass
class Table:
    """One table of a bench: named columns, rows of texts and numbers, and notes."""

    title: str
    columns: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        """Another row; as many cells as there are columns."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns of {self.title}")
        self.rows.append(list(cells))

    def print(self, console: Console) -> None:
        """Show it on a terminal."""
        shown = RichTable(title=self.title, title_justify="left", show_edge=False)
        numeric = [
            all(not isinstance(row[i], str) for row in self.rows) for i in range(len(self.columns))
        ]
        for name, right in zip(self.columns, numeric, strict=True):
            shown.add_column(name, justify="right" if right else "left")
        for row in self.rows:
            shown.add_row(*(_shown(cell) for cell in row))
        console.print(shown)
        for note in self.notes:
            console.print(note, markup=False, highlight=False)
        console.print()

    def markdown(self) -> str:
        """The same for a page: GitHub's tables."""
        lines = [f"**{self.title}**", "", "| " + " | ".join(self.columns) + " |"]
        lines.append("|" + "---|" * len(self.columns))
        lines += ["| " + " | ".join(_shown(cell) for cell in row) + " |" for row in self.rows]
        return "\n".join([*lines, "", *self.notes])


def write_json(path: Path, name: str, tables: list[Table]) -> None:
    """All tables of a bench with the machine and the commit that they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {"bench": name, "machine": machine(), "tables": [asdict(table) for table in tables]}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, str]:
    """Where and on what code a bench ran."""
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": git.stdout.strip() or "not a git checkout",
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    return (
        f"{cell:.3g}"
        if isinstance(cell, float) and abs(cell) < 1000
        else (f"{cell:,.0f}" if isinstance(cell, float) else str(cell))
    )
