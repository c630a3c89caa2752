"""The commands that use a trained encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raymoco.cli.arguments import Overrides, err, out

encoders_app = typer.Typer(rich_markup_mode=None)
PLACE = "a run, a sweep (its best trial), SWEEP/TRIAL, or a checkpoint; by folder or name"
Place = Annotated[str, typer.Argument(metavar="PLACE", help=PLACE)]
WhichEncoder = Annotated[
    str, typer.Option("--encoder", help="query, or key: its moving average", metavar="query|key")
]


@encoders_app.command()
def evaluate(
    places: Annotated[list[str], typer.Argument(metavar="PLACE...", help=PLACE)],
    on: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|SOURCE:ROOT", help="judge by other images than the encoder's own"
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="knn, linear, logreg, fewshot, retrieval, or your own; by default the run's",
        ),
    ] = None,
    encoder: WhichEncoder = "query",
    baselines: Annotated[
        bool, typer.Option(help="also pixels, the untrained network and the majority class")
    ] = True,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="draw neighbors, a map and confusions of the first"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
) -> None:
    """Measure trained encoders on a test split, by frozen features."""
    from raymoco.cli.judged import print_json, print_judged
    from raymoco.using.judging import judge
    from raymoco.using.trained_encoder import which_named
    from raymoco.using.unbuilt import data_of

    judged = judge(
        places,
        on=None if on is None else data_of(on),
        protocols=None if protocol is None else protocol.split(","),
        encoder=which_named(encoder),
        baselines=baselines,
        pictures=pictures,
        progress=_say,
    )
    for note in judged.notes:
        _say(note)
    (print_json if as_json else print_judged)(out, judged)
    if judged.pictures is not None:
        _say(f"pictures  {judged.pictures}")


@encoders_app.command()
def embed(
    place: Place,
    images: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|SOURCE:ROOT", help="images as they lie: a folder, digits, files:t.csv"
        ),
    ],
    overrides: Overrides = None,
    target: Annotated[
        Path, typer.Option("-o", "--output", help="features.parquet, .csv or .npy")
    ] = Path("features.parquet"),
    layer: Annotated[
        str,
        typer.Option(help="features of the backbone, or projections", metavar="backbone|projector"),
    ] = "backbone",
    encoder: WhichEncoder = "query",
) -> None:
    """Write the features of images to a file: a row each, with id and label."""
    from raymoco.using.embed import embed as run
    from raymoco.using.place import find_place
    from raymoco.using.trained_encoder import layer_named, read_encoder, which_named
    from raymoco.using.unbuilt import data_of

    data = data_of(images, overrides or [])
    found = find_place(place)
    _say(found.note)
    trained = read_encoder(found.checkpoint, which_named(encoder))
    done = run(trained, data, target, layer=layer_named(layer), progress=_say)
    for remark in done.remarks:
        _say(remark.line())
    speed = f"{done.rows / done.seconds:,.0f} images/s"
    out.print(
        f"wrote {done.file}: {done.rows:,} rows of {done.width} features, {speed}", markup=False
    )


@encoders_app.command()
def export(
    place: Place,
    target: Annotated[Path, typer.Argument(help="the file to write, such as encoder.pt")],
    format: Annotated[
        str | None,
        typer.Option(
            help="by default what the ending says",
            metavar="torch|torchvision|timm|safetensors|onnx|torch.export|detectron2",
        ),
    ] = None,
    encoder: WhichEncoder = "query",
) -> None:
    """Write the backbone's weights to a file that other programs load."""
    from raymoco.using.export import export_encoder, format_named
    from raymoco.using.trained_encoder import which_named

    done = export_encoder(place, target, format=format_named(format), encoder=which_named(encoder))
    _say(done.note)
    about = done.about
    out.print(
        f"wrote {done.target}: {about['backbone']}, {about['image_size']} px, "
        f"{about['feature_dim']} features\n",
        markup=False,
    )
    for line in done.lines:
        out.print(line, markup=False)


def _say(text: str) -> None:
    if text:
        err.print(text, markup=False)
