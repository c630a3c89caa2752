"""What all commands share: where they print, and the arguments that they have in common."""

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
    bool, typer.Option("--resume", help="go on with what is there, or begin if nothing is")
]
