"""`python -m benchmarks NAME`: run a bench, print its tables, write its JSON."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from rich.console import Console

from benchmarks.tables import machine, write_json

NAMES: tuple[str, ...]
NAMES = ("loss", "step", "growth", "stream", "views", "evaluate", "sweep", "tracking", "replay")
NAMES += ("statistics",)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and sizes: a try-out")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/NAME.json")
    parser.add_argument("--markdown", type=Path, help="write the tables as Markdown too")
    chosen = parser.parse_args()
    console = Console()
    for key, value in machine().items():
        console.print(f"{key}: {value}", markup=False, highlight=False)
    console.print()
    tables = importlib.import_module(f"benchmarks.{chosen.name}").run(chosen.quick)
    for table in tables:
        table.print(console)
    write_json(
        chosen.json or Path(__file__).parent / "results" / f"{chosen.name}.json",
        chosen.name,
        tables,
    )
    if chosen.markdown:
        chosen.markdown.write_text("\n\n".join(table.markdown() for table in tables) + "\n")


if __name__ == "__main__":
    main()
