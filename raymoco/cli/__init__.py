"""The commands: parse arguments, call a function, print its result. No logic.

Heavy modules are imported inside the commands, so that `--help` and typos are answered at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from raymoco.cli.arguments import Overrides, Resume, err, out
from raymoco.cli.encoders import encoders_app
from raymoco.cli.listings import listings_app
from raymoco.cli.shards import shards_app
from raymoco.cli.terminal import leave_terminal, take_terminal
from raymoco.engine.signals import Interrupts
from raymoco.errors import InputError, RaymocoError
from raymoco.files import OF_THE_MACHINE, in_words

INTERRUPTED = 130
app = typer.Typer(
    name="raymoco",
    help="Momentum contrast on partly labeled images: train, sweep, compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(shards_app, name="shards")
app.add_typer(encoders_app)
app.add_typer(listings_app)


def _version(asked: bool) -> None:
    if asked:
        from raymoco import __version__

        out.print(f"raymoco {__version__}", markup=False)
        raise typer.Exit


@app.callback()
def raymoco(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Momentum contrast on partly labeled images: train, sweep, compare."""


@app.command()
def train(
    what: Annotated[
        str,
        typer.Argument(
            metavar="PRESET|YAML|FOLDER|RUN",
            help="a preset's name, a YAML file, a folder of images, or the folder of a run",
        ),
    ],
    overrides: Overrides = None,
    resume: Resume = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="profile some steps and print where their time goes")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="print the config and where each value is from; no training"
        ),
    ] = False,
) -> None:
    """Train one encoder."""
    from raymoco.config import read_run

    found = read_run(what, overrides or [])
    config = found.config
    for line in found.notes:
        out.print(line, markup=False)
    if dry_run:
        from raymoco.cli.train_plan import print_plan

        print_plan(out, found)
        return
    # imported only now: the message for a typo must not wait for torch and Ray
    from raymoco.engine.output_folder import RunFolder
    from raymoco.engine.train import train as run
    from raymoco.metrics import describe

    result = run(
        config, resume=resume, profile=profile, say=lambda line: out.print(line, markup=False)
    )
    table = Table(title=result.config.run_name, title_justify="left", show_header=False)
    for name, value in result.last.items():
        if describe(name).in_summary:
            table.add_row(name, f"{value:.4f}" if abs(value) < 100 else f"{value:.0f}")
    out.print(table)
    if profile:
        written = RunFolder(result.folder).profile
        if not (written / "table.txt").exists():
            out.print("profile  no epoch was left to record", markup=False)
        else:
            out.print((written / "table.txt").read_text(encoding="utf-8"), markup=False)
            out.print(f"trace   {written / 'trace.json'}", markup=False)
    out.print(f"folder  {result.folder}", markup=False)


@app.command()
def sweep(
    yaml: Annotated[Path, typer.Argument(help="a sweep file, such as sweeps/demo.yaml")],
    overrides: Overrides = None,
    resume: Resume = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print axes, trials, resources and time; run nothing")
    ] = False,
) -> None:
    """Run the trials of a sweep file."""
    from raymoco.study.sweepfile.load import load_sweep

    loaded = load_sweep(yaml, overrides or [])
    for line in loaded.notes:
        out.print(line, markup=False)
    if dry_run:
        from raymoco.study.terminal.dry_run import describe_sweep

        out.print(describe_sweep(loaded))
        return
    with out.status("loading"):  # torch and Ray take seconds
        from raymoco.cli.summary import print_summary
        from raymoco.study.launch import sweep as run

    result = run(loaded, resume=resume, console=out)
    print_summary(out, loaded, result)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not any(trial.completed for trial in result.trials):
        err.print("error: no trial was completed; the reasons are in trials.csv", markup=False)
        raise typer.Exit(1)


@app.command()
def status(
    place: Annotated[str, typer.Argument(help="the name or the folder of a sweep or a run")],
    as_json: Annotated[bool, typer.Option("--json", help="for scripts")] = False,
) -> None:
    """Show the progress of a sweep or a run, on any machine that sees its folder."""
    import json

    from raymoco.study.journal.find import find
    from raymoco.study.terminal.status import read_status

    found = read_status(find(place))
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))  # noqa: T201 - for machines
        return
    for line in found.lines():
        out.print(line, markup=False)


@app.command()
def sync(
    place: Annotated[str, typer.Argument(help="the name or the folder of a sweep or a run")],
    uri: Annotated[
        str | None, typer.Option(help="deliver to this store, not to the one in its file")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="send everything again; nothing is duplicated")
    ] = False,
) -> None:
    """Send MLflow what it has not received yet."""
    from raymoco.study.journal.find import find
    from raymoco.study.mlflow.sync import sync as run

    for line in run(find(place), uri, again=again).lines():
        out.print(line, markup=False)


@app.command()
def report(
    sweeps: Annotated[
        list[str],
        typer.Argument(metavar="SWEEP [OTHER]", help="a sweep's folder, or two; or two runs"),
    ],
) -> None:
    """Write a sweep's report into its folder, or compare two sweeps or two runs."""
    from raymoco.study.report import report as run

    written = run(*sweeps)
    out.print(written.note, markup=False)
    out.print(f"\nreport  {written.html}", markup=False)


@app.command()
def schema(
    which: Annotated[str, typer.Argument(help="run or sweep")] = "run",
) -> None:
    """Print the JSON Schema of a config file."""
    import json

    from raymoco.config import RunConfig

    if which == "run":
        found: dict[str, Any] = RunConfig.model_json_schema()
    elif which == "sweep":
        from raymoco.study.sweepfile.schema import sweep_schema

        found = sweep_schema()
    else:
        raise InputError(f"there is no schema '{which}'; there are run and sweep.")
    print(json.dumps(found, indent=2))  # noqa: T201 - for machines: no console in between


@app.command()
def ui(
    place: Annotated[Path, typer.Argument(help="a sweep's or an output folder")] = Path("runs"),
    port: Annotated[
        int,
        typer.Option(
            min=1, max=65535, help="of the MLflow server, on loopback; if it is taken, the next"
        ),
    ] = 5000,
) -> None:
    """Open MLflow on the right store and print where to compare."""
    from raymoco.study.mlflow.ui import serve_ui

    serve_ui(out, place, port)


def main() -> None:
    """The console script: exit codes 0 done, 1 failed, 2 wrong usage or input, 130 interrupted."""
    # so that `method.loss: mylab.losses:Triplet` finds mylab/ here, as with `python -m raymoco`;
    # last, so that no file of the user hides a library
    with contextlib.suppress(FileNotFoundError):  # it was deleted: an absolute path needs none
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
    for stream in (sys.stdout, sys.stderr):  # a file name may have bytes that are no text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    debug = len(arguments) != len(sys.argv) - 1
    take_terminal()
    # around every command: at any moment
    with Interrupts().installed() as signals:
        try:
            code = _run(arguments, debug)
        except KeyboardInterrupt:  # while an error was printed
            code = INTERRUPTED
        with signals.held():
            if code == INTERRUPTED:  # typer turns a KeyboardInterrupt into this code and is silent
                err.print("interrupted", markup=False)
            code = leave_terminal() or code
            # Ray's and MLflow's threads must not keep the terminal waiting once all is written
            os._exit(code)


def _run(arguments: list[str], debug: bool) -> int:
    """Run a command, print its error, and return the exit code."""
    try:
        return app(arguments, standalone_mode=False) or 0
    except RaymocoError as error:
        if debug:
            traceback.print_exc()
        for line in str(error).split("\n"):
            err.print(f"error: {line}", markup=False)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # typer's own: wrong usage
            error.show()
            return int(error.exit_code)
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
            err.print(f"error: {in_words(error)}", markup=False)
            return InputError.exit_code
        err.print(
            f"error: {type(error).__name__}: {error}\n"
            "This is a defect of raymoco; --debug shows where.",
            markup=False,
        )
        return 1
