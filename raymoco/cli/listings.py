"""The commands that say what there is: presets, metrics, backbones, and what a machine lacks."""

from __future__ import annotations

from typing import Annotated

import typer

from raymoco.cli.arguments import out

listings_app = typer.Typer(rich_markup_mode=None)


@listings_app.command()
def presets() -> None:
    """List the presets, with what each trains."""
    from raymoco.config.presets import preset_comment, preset_names

    for name in preset_names():
        out.print(f"{name:<18} {preset_comment(name)}", markup=False)


@listings_app.command()
def metrics() -> None:
    """List the metrics that runs report, and what may be judged by them."""
    from raymoco.metrics import FAMILIES, LISTED

    # no table: it would cut names in a narrow terminal
    for metric in LISTED.values():
        may = "search, ablation" if metric.optimizable else "ablation" if metric.decides else ""
        words = [metric.label_with_unit, f"{metric.better} is better" if metric.better else "", may]
        out.print(f"{metric.name:<26} {'; '.join(word for word in words if word)}", markup=False)
    for family in FAMILIES:
        name, label = family.of(family.rest), family.label.format(family.rest)
        out.print(f"{name:<26} {label}", markup=False)
    out.print("\nThe last word says what may be judged by it.", markup=False)


@listings_app.command()
def backbones(
    part: Annotated[
        str, typer.Argument(metavar="[PART]", help="only names that contain this")
    ] = "",
) -> None:
    """List the backbones that model.backbone may name."""
    from raymoco.choices import BACKBONES
    from raymoco.errors import InputError
    from raymoco.ssl.backbones import backbone_names

    found = [name for name in backbone_names() if part in name]
    if not found:
        raise InputError(f"no backbone's name contains '{part}'; `raymoco backbones` lists all.")
    for name in found:
        choice = BACKBONES.choices.get(name)
        out.print(f"{name}  {choice.summary}" if choice else name, markup=False)
    if not part:
        out.print(
            "\nand your own as package.module:Name (docs/extending.md). All but resnet8 are "
            "torchvision's; model.stem is for its ResNets.",
            markup=False,
        )


@listings_app.command()
def doctor(
    what: Annotated[
        str | None,
        typer.Argument(metavar="[PRESET|YAML|FOLDER]", help="also what this run would need"),
    ] = None,
) -> None:
    """Say whether anything on this machine would stop a run, and what to type then."""
    from raymoco.config import read_run
    from raymoco.engine.doctor import examine

    stopped = 0
    for one in examine(None if what is None else read_run(what, []).config):
        stopped += one.level == "stop"
        mark = {"ok": "ok  ", "note": "note", "stop": "STOP"}[one.level]
        out.print(f"{mark}  {one.what:<9} {one.text}", markup=False)
        if one.cure:
            out.print(f"      {'':<9} -> {one.cure}", markup=False)
    if stopped:
        raise typer.Exit(1)
