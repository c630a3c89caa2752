"""Write a trained backbone to a file for other programs."""

from __future__ import annotations

import io
import json
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from raymoco.errors import ConfigError, InputError
from raymoco.files import write_atomically
from raymoco.registry import name_of
from raymoco.ssl.backbones import is_torchvisions, loading_lines
from raymoco.using.place import find_place
from raymoco.using.trained_encoder import TrainedEncoder, Which, read_encoder

Format = Literal[
    "torch", "torchvision", "timm", "safetensors", "onnx", "torch.export", "detectron2"
]
FORMATS: tuple[Format, ...] = get_args(Format)
EXPORT_FORMAT = 1  # of the dict in a .pt file
ENDINGS: dict[Format, tuple[str, ...]] = {
    "torch": (".pt", ".pth"),
    "torchvision": (".pt", ".pth"),
    "timm": (".pt", ".pth", ".safetensors"),
    "safetensors": (".safetensors",),
    "onnx": (".onnx",),
    "torch.export": (".pt2",),
    "detectron2": (".pkl",),
}
BY_ENDING: dict[str, Format] = {
    ".pt": "torch",
    ".pth": "torch",
    ".safetensors": "safetensors",
    ".onnx": "onnx",
    ".pt2": "torch.export",
    ".pkl": "detectron2",
}
# of torchvision's names to detectron2's, as in the MoCo authors' converter
DETECTRON2 = (
    (r"^conv1\.", "stem.conv1."),
    (r"^bn1\.", "stem.conv1.norm."),
    (r"^layer(\d)\.", lambda match: f"res{int(match[1]) + 1}."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        format: of the file.
        about: backbone, stem, channels, image_size, mean, std, classes and the rest of the
            preprocessing, as the file carries it.
        lines: Python that loads it, without raymoco where that is possible.
        note: what was chosen of several checkpoints; empty if there was nothing to choose.
    """

    target: Path
    format: Format
    about: dict[str, Any] = field(repr=False)
    lines: tuple[str, ...] = ()
    note: str = ""


def export_encoder(
    place: str | Path,
    target: Path,
    *,
    format: Format | None = None,
    encoder: Which = "query",
) -> Exported:
    """Write the backbone of a trained encoder to a file.

    Args:
        place: as for `load_encoder`.
        target: its ending must fit the format.
        format: None: by the ending. `torch`, `torchvision` and `timm` write a dict with
            `state_dict` and what `Exported.about` has, for `torch.load(..., weights_only=True)`.
    Raises:
        ConfigError: the ending does not fit, the format cannot hold this backbone, or a package
            for it is missing; says what would do.
        DataError: as for `load_encoder`.
    """
    chosen = _format(target, format)
    found = find_place(place)
    trained = read_encoder(found.checkpoint, encoder)
    about = describe(trained, encoder)
    _check(chosen, about["backbone"])
    safetensors = target.suffix.lower() == ".safetensors"  # also of timm's
    encode = _encode_safetensors if safetensors else ENCODERS[chosen]
    write_atomically(target, encode(trained, about))
    return Exported(target, chosen, about, tuple(_lines(chosen, target, trained)), found.note)


def format_named(word: str | None) -> Format | None:
    """The format of a name; None: by the file's ending.

    Raises:
        ConfigError: there is no such format.
    """
    if word is not None and word not in FORMATS:
        raise ConfigError(f"format is '{word}', but must be one of {', '.join(FORMATS)}.")
    return word


def describe(trained: TrainedEncoder, which: Which = "query") -> dict[str, Any]:
    """What a file says about the weights in it."""
    model, reading = trained.config.model, trained.preprocess
    name = name_of(model.backbone)
    about: dict[str, Any] = {
        "format": EXPORT_FORMAT,
        "backbone": name,
        "encoder": which,
        "epoch": trained.epoch,
        "feature_dim": trained.feature_dim,
        "channels": reading.channels,
        "image_size": reading.crop,
        "resize": reading.resize,
        "mean": list(reading.mean),
        "std": list(reading.std),
        "background": reading.background,
        "value_range": reading.value_range and list(reading.value_range),
        "classes": list(trained.classes),
    }
    if name == "resnet8":
        about["width"] = model.width
    if is_torchvisions(name):
        about["loads_with"] = loading_lines(
            name, channels=reading.channels, image_size=reading.crop, stem=model.stem
        )
    return about


def _format(target: Path, said: Format | None) -> Format:
    suffix = target.suffix.lower()
    if said is None:
        if suffix not in BY_ENDING:
            known = ", ".join(f"{ending} ({name})" for ending, name in BY_ENDING.items())
            raise ConfigError(
                f"{target}: no format has the ending '{target.suffix}'; there are {known}."
            )
        return BY_ENDING[suffix]
    if suffix not in ENDINGS[said]:
        raise ConfigError(
            f"{target}: the format {said} has the ending {' or '.join(ENDINGS[said])}, "
            f"not '{target.suffix}'."
        )
    return said


def _check(chosen: Format, backbone: str) -> None:
    resnet = is_torchvisions(backbone) and re.match(r"(wide_)?resne[x]?t", backbone)
    if chosen == "torchvision" and not is_torchvisions(backbone):
        raise ConfigError(
            f"--format is torchvision, but torchvision has no {backbone}; use torch, safetensors, "
            "onnx or torch.export."
        )
    if chosen in ("timm", "detectron2") and not resnet:
        raise ConfigError(
            f"--format is {chosen}, but only torchvision's ResNets have the same weights there, "
            f"and the backbone is {backbone}; use torch, safetensors, onnx or torch.export."
        )


def _encode_torch(trained: TrainedEncoder, about: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    torch.save({**about, "state_dict": trained.backbone.state_dict()}, stream)
    return stream.getvalue()


def _encode_safetensors(trained: TrainedEncoder, about: dict[str, Any]) -> bytes:
    save = _imported("safetensors.torch", "safetensors").save
    state = {name: value.contiguous() for name, value in trained.backbone.state_dict().items()}
    texts = {key: json.dumps(value) for key, value in about.items()}
    content: bytes = save(state, metadata=texts)
    return content


def _encode_onnx(trained: TrainedEncoder, about: dict[str, Any]) -> bytes:
    onnx = _imported("onnx", "onnx")
    _imported("onnxscript", "onnxscript")
    program = torch.onnx.export(
        Features(trained.backbone).eval(),
        (_example(about),),
        dynamo=True,
        input_names=["images"],
        output_names=["features"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in about.items()})
    content: bytes = model.SerializeToString()
    return content


def _encode_program(trained: TrainedEncoder, about: dict[str, Any]) -> bytes:
    module = Features(trained.backbone).eval()
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(module, (_example(about),), dynamic_shapes=shapes)
    stream = io.BytesIO()
    torch.export.save(program, stream, extra_files={"raymoco.json": json.dumps(about)})
    return stream.getvalue()


def _encode_detectron2(trained: TrainedEncoder, about: dict[str, Any]) -> bytes:
    state = {}
    for name, value in trained.backbone.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        for pattern, other in DETECTRON2:
            name = re.sub(pattern, other, name)
        state[name] = value.numpy()
    return pickle.dumps({"model": state, "__author__": "raymoco", "matching_heuristics": True})


ENCODERS: dict[Format, Callable[[TrainedEncoder, dict[str, Any]], bytes]] = {
    "torch": _encode_torch,
    "torchvision": _encode_torch,
    "timm": _encode_torch,
    "safetensors": _encode_safetensors,
    "onnx": _encode_onnx,
    "torch.export": _encode_program,
    "detectron2": _encode_detectron2,
}


class Features(nn.Module):
    """A backbone whose result is flat: images (B, C, S, S) -> features (B, F)."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features."""
        found: torch.Tensor = self.backbone(images)
        return found.flatten(1)


def _example(about: dict[str, Any]) -> torch.Tensor:
    return torch.zeros(2, about["channels"], about["image_size"], about["image_size"])


def _imported(module: str, package: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise InputError(
            f"this format needs the package {package}: pip install 'raymoco[export]'."
        ) from None


def _lines(chosen: Format, target: Path, trained: TrainedEncoder) -> list[str]:
    """Python that loads the file."""
    name, stem = name_of(trained.config.model.backbone), trained.config.model.stem
    size, channels = trained.image_size, trained.channels
    if chosen == "onnx":
        return [
            "import onnxruntime",
            f'session = onnxruntime.InferenceSession("{target}")',
            '(features,) = session.run(None, {"images": images})'
            f"  # normalized float32 (B, {channels}, {size}, {size})",
        ]
    if chosen == "torch.export":
        return [
            "import torch",
            f'model = torch.export.load("{target}").module()',
            f"features = model(images)  # normalized float32 (B, {channels}, {size}, {size})",
        ]
    if chosen == "detectron2":
        return [f"MODEL.WEIGHTS: {target}  # in detectron2's YAML; MODEL.RESNETS as the backbone"]
    read = ["import torch", f'file = torch.load("{target}", weights_only=True)']
    state = 'file["state_dict"]'
    if target.suffix == ".safetensors":
        read = ["import torch", "from safetensors.torch import load_file"]
        state = f'load_file("{target}")'
    if chosen == "timm":
        lines = loading_lines(name, channels=channels, image_size=size, stem=stem, package="timm")
        return [*read, *lines, f"model.load_state_dict({state})"]
    if is_torchvisions(name):
        lines = loading_lines(name, channels=channels, image_size=size, stem=stem)
        return [*read, *lines, f"model.load_state_dict({state})"]
    return [
        *read,
        "from raymoco.config import ModelConfig",
        "from raymoco.ssl.encoders import build_encoder",
        f"model = build_encoder(ModelConfig(backbone={trained.config.model.backbone!r}, "
        f"width={trained.config.model.width}), {channels}, {size}).backbone",
        f"model.load_state_dict({state})",
    ]
