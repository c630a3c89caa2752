"""raymoco shards build|inspect|verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from raymoco.cli.arguments import Overrides, err, out
from raymoco.data.shards.inspection import ShardReport
from raymoco.data.shards.manifest import SPLITS, ShardSet
from raymoco.errors import ConfigError

if TYPE_CHECKING:
    from raymoco.config import RunConfig

PAIRS = 10  # of near copies that are printed

shards_app = typer.Typer(
    help="Parquet shards of images.", no_args_is_help=True, rich_markup_mode=None
)


@shards_app.command("build")
def shards_build(
    preset_or_yaml: Annotated[
        str, typer.Argument(help="a preset's name, a YAML file, or a folder of images")
    ],
    overrides: Overrides = None,
    size: Annotated[
        int | None, typer.Option(help="resize images whose short side is longer, in pixels")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="refuse corrupt images")] = False,
) -> None:
    """Build the shards of a config's source in parallel, or reuse existing ones."""
    from raymoco.cli.images_of import config_of

    shards = _ensured(config_of(preset_or_yaml, overrides or []), size=size, strict=strict)
    out.print(str(shards.folder), markup=False)


@shards_app.command("inspect")
def shards_inspect(
    place: Annotated[
        str,
        typer.Argument(
            metavar="SHARDS|PRESET|YAML|FOLDER",
            help="a folder of shards, a preset's name, a YAML file, or a folder of images",
        ),
    ],
    overrides: Overrides = None,
    sheet: Annotated[Path | None, typer.Option(help="where to write the contact sheet")] = None,
    names: Annotated[bool, typer.Option("--names", help="write file names under images")] = False,
    classes: Annotated[int, typer.Option(min=1, help="classes to show at a time")] = 40,
    page: Annotated[int, typer.Option(min=1, help="which of them, 1 is the largest")] = 1,
) -> None:
    """Print what shards contain, and draw images of each class beside their two views.

    Shards of a preset, a config or a folder of images are built first, if they are missing.
    """
    from raymoco.cli.images_of import config_of, shards_at
    from raymoco.data.shards.contact_sheet import contact_sheet
    from raymoco.data.shards.inspection import describe_shards
    from raymoco.data.shards.near_copies import find_near_copies

    shards = shards_at(place)
    data = None
    if shards is None:
        config = config_of(place, overrides or [])
        data, shards = config.data, _ensured(config)
    elif overrides:
        raise ConfigError(f"{place} is a folder of shards, so it takes no {overrides[0]}.")
    report = describe_shards(shards)
    out.print(shards_table(report))
    if report.manifest.classes:
        out.print(classes_table(report, (page - 1) * classes, classes))
    near = find_near_copies(shards)
    out.print(f"near copies    {near.line()}", markup=False)
    for pair in (*near.across[:PAIRS], *near.within[: PAIRS - len(near.across)]):
        out.print(f"  {pair.line()}", markup=False)
    numbered = "contact_sheet.png" if page == 1 else f"contact_sheet-{page}.png"
    drawn = contact_sheet(
        shards,
        sheet or shards.folder / numbered,
        data.views if data else "auto",
        size=data.image_size if data else None,
        view_size=data.view_size if data else None,
        names=names,
        page=page,
        classes=classes,
    )
    out.print(f"contact sheet  {drawn.line()}", markup=False)


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


def classes_table(report: ShardReport, start: int, count: int) -> Table:
    """The images of some classes in each split, the largest class first."""
    every = report.classes()
    shown = every[start : start + count]
    table = Table("class", *SPLITS)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, counts in shown:
        table.add_row(Text(name), *(f"{counts[split]:,}" for split in SPLITS))
    left = len(every) - len(shown)
    if left:
        table.caption = f"{left:,} of {len(every):,} classes are not shown (--classes, --page)"
    return table


def _ensured(config: RunConfig, *, size: int | None = None, strict: bool = False) -> ShardSet:
    """Build the shards of a config, with a bar, or reuse existing ones."""
    from rich.progress import Progress

    from raymoco.config import ScaleConfig
    from raymoco.data.shards.ensure import ensure_shards, shards_folder
    from raymoco.engine.check_choices import check_choices
    from raymoco.engine.cluster import connect
    from raymoco.engine.output_folder import resolve_output

    output = resolve_output(config.output)
    check_choices(config)
    if shards_folder(config.data, output).exists():  # there is nothing that Ray could do
        return ensure_shards(config.data, output, _say, size=size, strict=strict)
    with connect(ScaleConfig(), output, groups=0), Progress(console=err, transient=True) as bar:
        task = bar.add_task("images", total=None)
        return ensure_shards(
            config.data,
            output,
            lambda line: bar.console.print(line, markup=False),
            size=size,
            strict=strict,
            advance=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _say(line: str) -> None:
    err.print(line, markup=False)
