"""`raymoco doctor`: is there anything on this machine that would stop a run?"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from raymoco import tracking
from raymoco.config import RunConfig
from raymoco.data.sources.file_kinds import cannot_read
from raymoco.data.sources.open import open_source
from raymoco.engine.check_choices import check_choices
from raymoco.engine.cluster import cores
from raymoco.engine.output_folder import check_output, resolve_output
from raymoco.engine.ray_folder import ray_folder
from raymoco.engine.tokens import MODE, bring_token
from raymoco.errors import RaymocoError
from raymoco.files import bytes_in_words, free_bytes
from raymoco.passwords import hide

PACKAGES = ("torch", "torchvision", "ray", "mlflow", "optuna", "pyarrow")
FEW_SHARED = 2**30  # bytes of /dev/shm, in which Ray keeps decoded images
FEW_FREE = 5 * 2**30  # bytes of the output's disk
ANSWER_S = 3.0
UI_PORT = 5000

Level = Literal["ok", "note", "stop"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found, and what to type where it is not right.

    `level`: `stop` would stop a run, `note` is worth knowing.
    """

    level: Level
    what: str
    text: str
    cure: str = ""


def examine(config: RunConfig | None) -> Iterator[Finding]:
    """Look at the machine, and at what a config asks of it.

    Args:
        config: None: one that asks for nothing special.
    """
    wanted = config or RunConfig()
    yield from _versions()
    yield from _devices(wanted)
    yield from _cpus(wanted)
    yield from _memory()
    yield from _output(wanted)
    yield from _ray()
    yield from _store(wanted)
    yield from _decoders()
    if config is not None:
        yield from _code_and_images(config)


def _versions() -> Iterator[Finding]:
    text = f"{platform.python_version()} in {sys.prefix}"
    yield Finding("ok", "python", text)
    yield Finding(
        "ok", "packages", ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    )


def _devices(config: RunConfig) -> Iterator[Finding]:
    import torch

    count = torch.cuda.device_count()
    names = ", ".join(torch.cuda.get_device_name(number) for number in range(count))
    kind = torch.backends.cpu.get_cpu_capability()
    text = f"{count} GPUs: {names}" if count else f"no GPU; a CPU with {kind}"
    asked = config.scale.workers * config.scale.gpus_per_worker
    if asked > count and "RAY_ADDRESS" not in os.environ:
        yield Finding(
            "stop",
            "device",
            f"{text}, but the config asks for {asked:g} GPUs",
            "scale.gpus_per_worker=0, or RAY_ADDRESS of a cluster that has them",
        )
        return
    yield Finding("ok", "device", text)


def _cpus(config: RunConfig) -> Iterator[Finding]:
    asked = config.scale.workers * config.scale.cpus_per_worker
    text = f"{cores()} for this process"
    if asked > cores() and "RAY_ADDRESS" not in os.environ:
        yield Finding(
            "note",
            "cores",
            f"{text}, and the config's workers ask for {asked:g}: they share them",
            "scale.workers or scale.cpus_per_worker",
        )
        return
    yield Finding("ok", "cores", text)


def _memory() -> Iterator[Finding]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("ok", "memory", bytes_in_words(total))
    shared = Path("/dev/shm")
    if not shared.is_dir():
        return
    size = shutil.disk_usage(shared).total
    small = size < FEW_SHARED
    yield Finding(
        "note" if small else "ok",
        "/dev/shm",
        bytes_in_words(size) + (": Ray puts images on the disk instead, slowly" if small else ""),
        "docker run --shm-size=8g ..." if small else "",
    )


def _output(config: RunConfig) -> Iterator[Finding]:
    output = resolve_output(config.output)
    try:
        check_output(output)
    except RaymocoError as error:
        yield Finding("stop", "output", str(error), "output=FOLDER")
        return
    free = free_bytes(output)
    few = free < FEW_FREE
    text = f"{output}, {bytes_in_words(free)} free"
    yield Finding("note" if few else "ok", "output", text, "output=FOLDER elsewhere" if few else "")


def _ray() -> Iterator[Finding]:
    try:
        folder = ray_folder()
    except RaymocoError as error:
        yield Finding("stop", "ray", str(error))
        return
    address = os.environ.get("RAY_ADDRESS")
    if not address or address == "local":
        yield Finding("ok", "ray", f"a local one is started, with its sockets in {folder}")
        return
    plain = address.removeprefix("ray://")
    if plain != address:
        cure = "RAY_ADDRESS=HOST:6379, or `ray job submit`"
        yield Finding("stop", "ray", f"RAY_ADDRESS is {address}, a Ray client's", cure)
        return
    host, _, port = plain.rpartition(":")
    if port.isdigit() and not _answers(host, int(port)):
        cure = "start the cluster, or unset RAY_ADDRESS"
        yield Finding("stop", "ray", f"nothing answers at RAY_ADDRESS, {address}", cure)
        return
    try:
        bring_token(address)
    except RaymocoError as error:
        yield Finding("stop", "ray", str(error), f"ray get-auth-token on its head; {MODE}")
        return
    yield Finding("ok", "ray", f"the cluster at {address} answers")


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), ANSWER_S).close()
    except OSError:
        return False
    return True


def _store(config: RunConfig) -> Iterator[Finding]:
    output = resolve_output(config.output)
    try:
        settled, note = tracking.settle_tracking(config.tracking, output)
        tracking.check_tracking(settled.uri, output)
    except RaymocoError as error:
        yield Finding("stop", "mlflow", str(error), "tracking.uri=URI, or none")
        return
    uri = tracking.tracking_uri(settled.uri, output)
    place = urlsplit(uri)
    if place.scheme in ("http", "https") and not _answers(
        place.hostname or "", place.port or {"http": 80, "https": 443}[place.scheme]
    ):
        text = f"{hide(uri)} does not answer: a run keeps its points, and sends them when it does"
        yield Finding("note", "mlflow", text, "start the server, or tracking.uri=URI")
    else:
        yield Finding("ok", "mlflow", note or hide(uri))
    if _answers("127.0.0.1", UI_PORT):
        yield Finding(
            "note", "port", f"{UI_PORT} is taken", "raymoco ui takes the next free one, or --port N"
        )


def _decoders() -> Iterator[Finding]:
    missing = dict.fromkeys(why for why in cannot_read().values() if "this installation" in why)
    for why in missing:
        name, _, cure = why.partition(", which this installation cannot read: ")
        yield Finding("note", "images", f"{name} cannot be read", cure)
    if not missing:
        yield Finding("ok", "images", "every optional decoder is there")


def _code_and_images(config: RunConfig) -> Iterator[Finding]:
    try:
        check_choices(config)
        source = open_source(config.data)
    except RaymocoError as error:
        yield Finding("stop", "config", str(error))
        return
    classes = f"{len(source.classes)} classes" if source.classes else "no labels"
    yield Finding("ok", "config", f"its code is there, and its images: {source.name}, {classes}")
