"""The consoles that all commands print to, and the arguments that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="overrides, such as optim.lr=0.1"),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="continue from what is there, or start if nothing is")
]
