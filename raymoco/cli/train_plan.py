"""`raymoco train --dry-run`: the config, where its values are from, and the regime."""

from __future__ import annotations

from rich.console import Console

from raymoco.config.presets import Composed
from raymoco.yamlfile import flatten


def print_plan(console: Console, found: Composed) -> None:
    """Print every value that the run would have, and what its length and queue amount to.

    Missing shards are built (they are needed anyway); nothing else is written.

    Raises:
        InputError: as for any mistake that would stop the run before its first step.
    """
    from raymoco.data.shards.ensure import ensure_shards
    from raymoco.engine.check_choices import check_choices
    from raymoco.engine.disk import check_run
    from raymoco.engine.output_folder import check_output, refuse_foreign, resolve_output
    from raymoco.engine.regime import TrainImages, regime
    from raymoco.engine.regime_advice import regime_warning
    from raymoco.engine.resolve import resolve

    config = found.config
    output = resolve_output(config.output)
    refuse_foreign(output / config.run_name, "run")
    check_output(output)
    check_choices(config)
    shards = ensure_shards(
        config.data,
        output,
        lambda line: console.print(line, markup=False),
    )
    images = min(shards.rows("train"), config.data.limit or shards.rows("train"))
    resolved = resolve(config, channels=shards.channels, train_images=images)
    given = flatten(config.model_dump())
    rows = [("key", "value", "from")]
    for key, value in flatten(resolved.model_dump()).items():
        where = found.sources.get(key, "default")
        if given.get(key) != value:
            where = "resolved" if where == "default" else f"{where}; resolved"
        rows.append((key, str(value), where))
    wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for key, text, where in rows:  # no table: it would cut long keys in a narrow terminal
        console.print(f"{key:<{wide[0]}}  {text:<{wide[1]}}  {where}", markup=False)
    known = TrainImages.of(shards.manifest, images)
    console.print(
        f"{'images':<12} {images:,} to train on, {shards.rows('eval'):,} eval, "
        f"{shards.rows('test'):,} test"
    )
    for name, text in regime(resolved, known).facts:
        console.print(f"{name:<12} {text}", markup=False)
    room = check_run(
        resolved,
        output,
        channels=shards.channels,
        image_size=resolved.data.view_size or resolved.data.image_size or shards.image_size or 32,
        classes=len(shards.classes),
    )
    console.print(f"{'disk':<12} {room}", markup=False)
    warning = regime_warning(resolved, known)
    if warning:
        console.print(f"warning: {warning}", markup=False)
