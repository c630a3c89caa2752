"""`data.views`: a recipe's name, or a mapping with parameters beside it.

The recipes' values are here and not beside the code that draws with them, because a sweep file is
checked, and its cells compared, without torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from raymoco.choices import VIEWS
from raymoco.config.named import check_named
from raymoco.config.strict import StrictModel
from raymoco.registry import IMPORT_PATH, NAME

RECIPE = "recipe"  # the key of the name, in a mapping with parameters of ours
AUTO = "auto"
BLUR_ABOVE = 64  # side in pixels: a smaller view would lose all detail in a blur
BLUR_SHARE = 0.5


@dataclass(frozen=True)
class ViewParameters:
    """What a recipe draws: shares of 1, factors 1 +- x, and probabilities.

    Attributes:
        area: of the crop, lowest and highest share of the image's; `crop_scale` in a config.
        aspect: width over height of the crop, lowest and highest; `crop_ratio` in a config.
        flip: probability of a mirrored view.
        rotation: largest turn to either side, in radians; in degrees in a config.
        shift: how far the crop may leave the image, as a share of a side.
        brightness: factors 1 +- x, as are contrast and saturation.
        hue: +- x of a whole turn.
        jitter: probability that brightness, contrast, saturation and hue are changed at all.
        grayscale: probability of a view without color.
        blur: probability of a Gaussian blur; None: 0.5 in views above 64 px, else none.
        blur_sigma: its standard deviation in pixels, lowest and highest.
        solarize: probability that the bright pixels are inverted.
        solarize_threshold: from which brightness on.
        padding: beyond the image: `border` repeats its last pixels, `zeros` is black. No key of a
            config.
    """

    area: tuple[float, float]
    aspect: tuple[float, float] = (0.75, 4 / 3)
    flip: float = 0.5
    rotation: float = 0.0
    shift: float = 0.0
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.0
    hue: float = 0.0
    jitter: float = 1.0
    grayscale: float = 0.0
    blur: float | None = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarize: float = 0.0
    solarize_threshold: float = 0.5
    padding: str = "border"

    def blur_at(self, view_size: int) -> float:
        """The probability of a blur in views of a size."""
        if self.blur is None:
            return BLUR_SHARE if view_size > BLUR_ABOVE else 0.0
        return self.blur


RECIPES = {
    "glyph": ViewParameters(
        area=(0.6, 1.0),
        aspect=(0.85, 1.18),
        flip=0.0,
        rotation=0.2,
        shift=0.04,
        padding="zeros",
    ),
    "grey": ViewParameters(area=(0.3, 1.0)),
    "colour": ViewParameters(
        area=(0.2, 1.0), saturation=0.4, hue=0.1, jitter=0.8, grayscale=0.2, blur=None
    ),
}
FIELDS = {"crop_scale": "area", "crop_ratio": "aspect"}  # a key's name in ViewParameters
OF_COLOR = ("saturation", "hue", "grayscale")  # nothing to change in gray images

# what has no effect where another parameter is 0
IDLE = {
    **dict.fromkeys(("brightness", "contrast", "saturation", "hue"), "jitter"),
    "blur_sigma": "blur",
    "solarize_threshold": "solarize",
}


def _bounded(low: float, high: float, words: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        numbers = list(value) if isinstance(value, list | tuple) else []
        real = [
            isinstance(number, int | float) and not isinstance(number, bool) for number in numbers
        ]
        if value is None or (
            len(numbers) == 2
            and all(real)
            and low < numbers[0] <= numbers[1] <= high
            and math.isfinite(numbers[1])
        ):
            return value
        raise PydanticCustomError("no_range", "be [low, high] with {words}", {"words": words})

    return BeforeValidator(check)


Pair = tuple[float, float]
Chance = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, le=1)]


class ViewsConfig(StrictModel):
    """`data.views` as a mapping: a recipe, and parameters that replace the recipe's own."""

    recipe: Annotated[str, BeforeValidator(lambda name: check_named(VIEWS, name))] = AUTO
    crop_scale: Annotated[Pair | None, _bounded(0, 1, "0 < low <= high <= 1")] = None
    crop_ratio: Annotated[Pair | None, _bounded(0, math.inf, "0 < low <= high")] = None
    flip: Chance | None = None
    rotation: Annotated[float, Field(ge=0, le=180)] | None = None
    shift: Annotated[float, Field(ge=0, le=1)] | None = None
    brightness: Strength | None = None
    contrast: Strength | None = None
    saturation: Strength | None = None
    hue: Annotated[float, Field(ge=0, le=0.5)] | None = None
    jitter: Chance | None = None
    grayscale: Chance | None = None
    blur: Chance | None = None
    blur_sigma: Annotated[Pair | None, _bounded(0, 20, "0 < low <= high <= 20")] = None
    solarize: Chance | None = None
    solarize_threshold: Annotated[float, Field(ge=0, le=1)] | None = None

    def given(self) -> dict[str, Any]:
        """The parameters that are set."""
        return self.model_dump(exclude={RECIPE}, exclude_none=True)


def check_views(value: Any) -> Any:
    """Check `data.views` when a config is read, and return it in one form.

    Returns:
        A name; or `{recipe: glyph, flip: 0.5}` with the parameters that were given; or, for
        somebody else's, `{name: package.module:Name, ...}`.
    """
    if not isinstance(value, Mapping):
        return check_named(VIEWS, value)
    rest = dict(value)
    name = rest.pop(NAME, None)
    # a mapping laid over a mapping: what was written as `recipe` is the later one
    name = rest.pop(RECIPE, name if name is not None else AUTO)
    if isinstance(name, str) and IMPORT_PATH.fullmatch(name):
        return check_named(VIEWS, {NAME: name, **rest})
    # its errors keep their keys: pydantic puts data.views before them
    found = ViewsConfig.model_validate({RECIPE: name, **rest})
    given = {key: list(v) if isinstance(v, tuple) else v for key, v in found.given().items()}
    return {RECIPE: found.recipe, **given} if given else found.recipe


def views_name(views: str | Mapping[str, Any]) -> str:
    """The recipe's name, or the import path of somebody else's views."""
    return views if isinstance(views, str) else str(views.get(RECIPE) or views[NAME])


def is_ours(views: str | Mapping[str, Any]) -> bool:
    """Whether the views are a recipe of raymoco, or `auto`."""
    return ":" not in views_name(views)


def given_parameters(views: str | Mapping[str, Any]) -> dict[str, Any]:
    """What is set beside the name."""
    if isinstance(views, str):
        return {}
    return {key: value for key, value in views.items() if key not in (RECIPE, NAME)}


def with_parameters(start: ViewParameters, given: Mapping[str, Any]) -> ViewParameters:
    """Return the parameters with those that a config sets instead of the recipe's."""
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key == "rotation":
            value = math.radians(value)
        values[FIELDS.get(key, key)] = tuple(value) if isinstance(value, list) else value
    return replace(start, **values)


def written_out(views: str | Mapping[str, Any], source: str = "") -> dict[str, Any]:
    """Every parameter of a recipe as a config has it, by key, and `recipe`.

    Args:
        source: decides what `auto` most likely is, until the images are known: their crops are
            alike, and gray images have no use for the parameters of color.
    """
    name, given = views_name(views), given_parameters(views)
    likely = ("glyph" if source == "digits" else "colour") if name == AUTO else name
    found = {}
    for key in ViewsConfig.model_fields.keys() - {RECIPE}:
        value = getattr(RECIPES[likely], FIELDS.get(key, key))
        if key == "rotation":
            value = math.degrees(value)
        found[key] = list(value) if isinstance(value, tuple) else value
    found |= given
    return {RECIPE: name, **{key: found[key] for key in ViewsConfig.model_fields if key in found}}


def simplest(views: str | Mapping[str, Any]) -> str | Mapping[str, Any]:
    """The views without parameters that are the recipe's own, so that equal views look equal."""
    name, given = views_name(views), given_parameters(views)
    if not given or name not in RECIPES:
        return views
    own = written_out(name)
    changed = {key: value for key, value in given.items() if own[key] != value}
    return {RECIPE: name, **changed} if changed else name


def has_effect(views: str | Mapping[str, Any], parameter: str, source: str = "") -> bool:
    """Whether a parameter changes anything, given the others."""
    needs = IDLE.get(parameter)
    return needs is None or written_out(views, source)[needs] != 0


def schema() -> dict[str, Any]:
    """The JSON Schema of `data.views`."""
    ours = ViewsConfig.model_json_schema()
    ours["properties"][RECIPE] = {"anyOf": VIEWS.words(), "default": AUTO}
    del ours["title"]
    *words, somebodys = VIEWS.schema()["anyOf"]
    return {"anyOf": [*words, ours, somebodys]}
