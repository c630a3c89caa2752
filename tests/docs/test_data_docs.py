"""The tables of docs/data.md are those of the code."""

import re
from pathlib import Path

import pytest

from raymoco.config.views import RECIPES, ViewsConfig, written_out
from raymoco.engine.folder_preset import AMOUNTS, GLYPHS, LARGE, LARGE_SEEN, NATIVE, SIZES, SMALL

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
TEXT = PAGE.read_text(encoding="utf-8")

MEANS = {
    "crop_scale": "area of the crop, a share of the image's",
    "crop_ratio": "width over height of the crop",
    "flip": "probability of a mirrored view",
    "rotation": "largest turn to either side, degrees",
    "shift": "how far the crop may leave the image, a share of a side",
    "brightness": "factor 1 ± x",
    "contrast": "factor 1 ± x",
    "saturation": "factor 1 ± x",
    "hue": "± x of a whole turn",
    "jitter": "probability of the four above",
    "grayscale": "probability of a view without color",
    "blur": "probability of a Gaussian blur",
    "blur_sigma": "its standard deviation, px",
    "solarize": "probability that bright pixels are inverted",
    "solarize_threshold": "from which brightness on",
}


def table(name):
    found = re.search(rf"<!-- {name}: [^\n]*-->\n(.*?)<!-- end of {name} -->", TEXT, re.DOTALL)
    return found.group(1).strip().splitlines()[2:]


def said(value):
    if value is None:
        return "0.5 above 64 px"
    if isinstance(value, list):
        return f"{value[0]:.3g} to {value[1]:.3g}"
    return f"{value:.3g}"


def test_the_values_of_the_recipes_are_those_of_the_code():
    values = {name: written_out(name) for name in RECIPES}
    keys = [key for key in ViewsConfig.model_fields if key != "recipe"]
    rows = [
        f"| `{key}` | {' | '.join(said(values[name][key]) for name in RECIPES)} | {MEANS[key]} |"
        for key in keys
    ]
    assert table("views") == rows, "write this into docs/data.md:\n" + "\n".join(rows)


def test_the_tables_of_the_preset_folder_are_those_of_the_code():
    sizes = [f"| {row.from_side} px | {row.seen} |" for row in SIZES]
    sizes.append(f"| {SIZES[-1].from_side} px, and {LARGE:,} images | {LARGE_SEEN} |")
    assert table("sizes") == sizes, "write this into docs/data.md:\n" + "\n".join(sizes)
    amounts = [
        f"| {row.from_images:,} | {row.backbone} | {row.batch_size} | {row.lr:g} | "
        f"{row.queue_size:,} | {row.key_momentum:g} | {row.epochs} |"
        for row in AMOUNTS
    ]
    assert table("amounts") == amounts, "write this into docs/data.md:\n" + "\n".join(amounts)
    words = TEXT.split("<!-- sizes")[1].split("## Sources")[0]
    for number in (NATIVE, GLYPHS, SMALL):
        assert f"up to {number} px" in " ".join(words.split())


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(data:.*?)```", TEXT, re.DOTALL))
def test_every_data_section_of_the_page_is_valid(block, tmp_path):
    from raymoco.config import load_run_config

    path = tmp_path / "run.yaml"
    path.write_text(block)
    load_run_config(str(path))
