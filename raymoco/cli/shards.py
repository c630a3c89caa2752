"""raymoco shards build|inspect|verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from raymoco.cli.arguments import Overrides, err, out
from raymoco.data.shards.inspection import ShardReport

shards_app = typer.Typer(
    help="Parquet shards of images.", no_args_is_help=True, rich_markup_mode=None
)


@shards_app.command("build")
def shards_build(
    preset_or_yaml: Annotated[str, typer.Argument(help="a preset's name, or a YAML file")],
    overrides: Overrides = None,
    size: Annotated[
        int | None, typer.Option(help="resize images whose short side is longer, in pixels")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="refuse corrupt images")] = False,
) -> None:
    """Build the shards of a config's source in parallel, or reuse existing ones."""
    from rich.progress import Progress

    from raymoco.config import ScaleConfig, load_run_config

    config = load_run_config(preset_or_yaml, overrides or [])
    from raymoco.data.shards.ensure import ensure_shards
    from raymoco.engine.check_choices import check_choices
    from raymoco.engine.cluster import connect
    from raymoco.engine.output_folder import resolve_output

    output = resolve_output(config.output)
    check_choices(config)
    with connect(ScaleConfig(), output, groups=0), Progress(console=err, transient=True) as bar:
        task = bar.add_task("images", total=None)
        shards = ensure_shards(
            config.data,
            output,
            lambda line: bar.console.print(line, markup=False),
            size=size,
            strict=strict,
            advance=lambda done, total: bar.update(task, completed=done, total=total),
        )
    out.print(str(shards.folder), markup=False)


@shards_app.command("inspect")
def shards_inspect(
    folder: Path,
    sheet: Annotated[Path | None, typer.Option(help="where to write the contact sheet")] = None,
) -> None:
    """Print what a folder of shards contains, and draw images beside their two views."""
    from raymoco.cli.shards import shards_table
    from raymoco.data.shards.inspection import contact_sheet, describe_shards
    from raymoco.data.shards.manifest import load_shards

    shards = load_shards(folder)
    out.print(shards_table(describe_shards(shards)))
    path = sheet or folder / "contact_sheet.png"
    contact_sheet(shards, path)
    out.print(f"contact sheet  {path}", markup=False)


@shards_app.command("verify")
def shards_verify(folder: Path) -> None:
    """Compare every shard with its sha256."""
    from raymoco.data.shards.inspection import verify_shards
    from raymoco.errors import DataError

    problems = verify_shards(folder)
    if problems:
        raise DataError("\n".join(problems))
    out.print(f"{folder}: every shard is as it was built", markup=False)


def shards_table(report: ShardReport) -> Table:
    """The table that `raymoco shards inspect` prints."""
    table = Table(show_header=False)
    for name, value in report.lines():
        table.add_row(name, Text(value))  # class names may contain brackets
    return table
