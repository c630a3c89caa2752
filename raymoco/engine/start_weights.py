"""`model.weights`: a run that starts from weights which exist already."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from raymoco.config import PUBLISHED, ModelConfig
from raymoco.engine.checkpoint import find_checkpoint, load_checkpoint
from raymoco.errors import ConfigError, DataError
from raymoco.registry import name_of
from raymoco.ssl.encoders import Encoder, build_encoder
from raymoco.ssl.moco import MoCo

INSIDE = ("state_dict", "model", "model_state_dict", "teacher")  # where files keep a state
NAMED = 4  # tensors in a message

State = dict[str, Tensor]


@dataclass(frozen=True)
class Fitted:
    """What of some weights is used, by names of the backbone's tensors."""

    taken: State
    unused: tuple[str, ...]
    missing: tuple[str, ...]
    grayed: bool


def start_run(module: nn.Module, model: ModelConfig) -> str:
    """Give a method's encoder the weights that `model.weights` names; the key encoder gets a copy.

    Args:
        module: MoCo or Supervised, untrained.
    Returns, Raises: as `start_from`.
    """
    encoder = module.encoder
    assert isinstance(encoder, Encoder)
    words = start_from(encoder, model)
    if isinstance(module, MoCo):
        module.encoders.key.load_state_dict(module.encoders.query.state_dict())
    return words


def check_start(model: ModelConfig, channels: int, image_size: int) -> str:
    """Say what a run would start from, before it does.

    Returns, Raises: as `start_from`.
    """
    return start_from(build_encoder(model, channels, image_size), model)


def start_from(encoder: Encoder, model: ModelConfig) -> str:
    """Give an encoder's backbone the weights that `model.weights` names.

    Returns:
        What was taken, and what did not fit, in a sentence.
    Raises:
        ConfigError: nothing is there, it cannot be read, or nothing in it fits the backbone.
    """
    place = model.weights
    assert place is not None
    state = read_state(place, name_of(model.backbone))
    backbone = encoder.backbone
    fitted = fit(state, backbone, f"model.weights is {place}, but")
    backbone.load_state_dict(fitted.taken, strict=False)
    words = f"weights: {len(fitted.taken)} of {len(backbone.state_dict())} tensors from {place}"
    if fitted.grayed:
        words += "; the first layer's three color channels were added up for gray images"
    if fitted.missing:
        words += f"; without weights: {_some(fitted.missing)}"
    if fitted.unused:
        words += f"; not used: {_some(fitted.unused)}"
    return words


def read_state(place: str, backbone: str) -> State:
    """Read the tensors of a checkpoint, a run's folder, a file of weights, or published ones.

    Raises:
        ConfigError: nothing is there, or it cannot be read.
    """
    if place.startswith(PUBLISHED):
        return _published(place.removeprefix(PUBLISHED), backbone)
    path = Path(place).expanduser()
    if path.is_dir() or path.match("epoch-*.pt"):
        try:
            checkpoint = load_checkpoint(find_checkpoint(path))
        except DataError as error:
            raise ConfigError(f"model.weights is {place}, but {error}") from None
        # MoCo's, Supervised's, and where only the query encoder was kept
        ours = ("encoders.query.backbone.", "encoder.backbone.", "backbone.")
        return {
            name.removeprefix(prefix): value
            for prefix in ours
            for name, value in checkpoint.module.items()
            if name.startswith(prefix)
        }
    if not path.is_file():
        raise ConfigError(
            f"model.weights is {place}, but there is no such file or folder; give a run's folder, "
            f"a checkpoint, a file of weights, or {PUBLISHED}NAME."
        )
    return _tensors(_loaded(path), place)


def fit(state: State, backbone: nn.Module, why: str) -> Fitted:
    """Find the backbone's tensors in a state whose names may have a prefix.

    Args:
        why: the beginning of a message.
    Raises:
        ConfigError: none fits.
    """
    wanted = backbone.state_dict()
    prefixes = Counter(
        name.removesuffix(key)
        for key in wanted
        for name in state
        if name == key or name.endswith(f".{key}")
    )
    # the query encoder where a file has both, else what fits best
    prefix = max(prefixes, key=lambda one: (prefixes[one], "encoder_q" in one), default="")
    taken: State = {}
    grayed = False
    for key, value in wanted.items():
        found = state.get(prefix + key)
        if found is None:
            continue
        if _color_for_gray(found, value):
            found, grayed = found.sum(1, keepdim=True), True
        if found.shape == value.shape:
            taken[key] = found.to(value.dtype)
    if not any(name.endswith("weight") for name in taken):
        theirs, ours = _some(tuple(state)), _some(tuple(wanted))
        raise ConfigError(f"{why} nothing in it fits the backbone: it has {theirs}, not {ours}.")
    used = {prefix + key for key in taken}
    return Fitted(
        taken,
        tuple(name for name in state if name not in used and "num_batches" not in name),
        tuple(key for key in wanted if key not in taken and "num_batches" not in key),
        grayed,
    )


def _color_for_gray(found: Tensor, wanted: Tensor) -> bool:
    """Whether a convolution of colors is asked for one of gray images."""
    alike = found.dim() == wanted.dim() == 4 and found.shape[2:] == wanted.shape[2:]
    return alike and len(found) == len(wanted) and (found.shape[1], wanted.shape[1]) == (3, 1)


def _published(name: str, backbone: str) -> State:
    from torchvision import models

    if backbone not in models.list_models(module=models):
        raise ConfigError(f"model.weights is {PUBLISHED}{name}, but torchvision has no {backbone}.")
    published = models.get_model_weights(backbone)
    if name not in published.__members__:
        raise ConfigError(
            f"model.weights is {PUBLISHED}{name}, but {backbone} has "
            f"{', '.join(published.__members__) or 'none'}."
        )
    try:
        state: State = published[name].get_state_dict(progress=False, check_hash=True)
    except OSError as error:  # of the network
        raise ConfigError(
            f"model.weights is {PUBLISHED}{name}, but it cannot be downloaded: {error}. Put the "
            "file here by hand, and give its path."
        ) from None
    return state


def _loaded(path: Path) -> Any:
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ModuleNotFoundError:
            raise ConfigError(
                f"model.weights is {path}, which needs the package safetensors: pip install "
                "'raymoco[export]'."
            ) from None
        try:
            return load_file(path)
        except Exception as error:  # noqa: BLE001 - damaged bytes can raise any error
            raise ConfigError(f"model.weights is {path}, but it cannot be read: {error}") from None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged bytes can raise any error
        raise ConfigError(
            f"model.weights is {path}, but it cannot be read as a file of torch tensors: {error}"
        ) from None


def _tensors(found: Any, place: str) -> State:
    """The tensors of a state, or of the state inside a dict."""
    for key in INSIDE:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    items = found.items() if isinstance(found, dict) else ()
    state = {str(name): value for name, value in items if isinstance(value, Tensor)}
    if not state:
        raise ConfigError(f"model.weights is {place}, but it holds no state of named tensors.")
    return state


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
