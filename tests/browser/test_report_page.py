"""report.html as people open it: offline, at a desk and on a phone, by day and by night."""

import re

import pytest

from raymoco import report
from tests.written_sweeps import ABLATION, HOSTILE, write_ablation, write_search

# drawn lines, for a picture can be there and be empty
SHAPES = "svg => svg.querySelectorAll('path, use, text').length"
# the figure's own box, and those of its words
LETTERS = """svg => {
  const edges = box => [box.left, box.top, box.right, box.bottom]
  const words = Array.from(svg.querySelectorAll('text'))
  return [edges(svg.getBoundingClientRect()),
          words.map(one => [...edges(one.getBoundingClientRect()), one.textContent])]
}"""


MANY = """\
kind: ablation
name: many
run: {preset: digits, epochs: 5}
factors:
  consistency_of_views:
    off: {method.cross_consistency.weight: 0}
    on:  {method.cross_consistency.weight: 1.0}
  uniform:
    off: {method.negative_uniformity.weight: 0}
    on:  {method.negative_uniformity.weight: 0.1}
  temperature: {warm: {method.temperature: 0.2}, cold: {method.temperature: 0.1}}
  queue: {small: {method.queue_size: 64}, large: {method.queue_size: 256}}
  learning_rate: {low: {optim.lr: 0.03}, high: {optim.lr: 0.1}}
seeds: [0, 1, 2]
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    hostile = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    text = ABLATION.replace("Does each term help?", f'"{hostile}"')
    text = text.replace("  cross:\n    off:", f'  "{hostile}":\n    "{hostile}":')
    return {
        "ablation": report(write_ablation(folder / "terms")).html.as_uri(),
        "search": report(write_search(folder / "found")).html.as_uri(),
        "hostile": report(write_ablation(folder / "hostile", text)).html.as_uri(),
        "many": report(write_ablation(folder / "many", MANY)).html.as_uri(),
    }


@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("name", ["ablation", "search", "hostile", "many"])
def test_it_renders_without_errors_requests_or_sideways_scrolling(pages, visit, name, width):
    window = visit(width)
    window.page.goto(pages[name])
    assert window.errors == []
    assert window.requests == [pages[name]]
    scrolled = "document.documentElement.scrollWidth"
    assert window.page.evaluate(scrolled) <= width
    drawings = window.page.locator("figure svg")
    assert drawings.count() >= 5
    for drawing in drawings.all():
        box = drawing.bounding_box()
        assert box["width"] > 250
        assert box["height"] > 60
        assert drawing.evaluate(SHAPES) > 10
    assert window.page.locator("header li").count() >= 2


def test_day_and_night_differ_and_both_can_be_read(pages, visit):
    found = {}
    for scheme in ("light", "dark"):
        page = visit(1280, scheme).page
        page.goto(pages["ablation"])
        style = "element => getComputedStyle(element)"
        paper = page.locator("body").evaluate(f"{style}.backgroundColor")
        ink = page.locator("body").evaluate(f"{style}.color")
        letters = page.locator("figure svg text").first.evaluate(f"{style}.fill")
        found[scheme] = paper
        assert letters == ink, "letters of figures follow the page"
        assert contrast(paper, ink) > 7
    assert found["light"] != found["dark"]


def test_hostile_names_are_shown_as_they_were_written(pages, visit):
    window = visit()
    dialogs = []
    window.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    window.page.goto(pages["hostile"])
    assert window.page.locator(".question").inner_text() == HOSTILE
    assert window.page.locator("script").count() == 0
    assert dialogs == []


@pytest.mark.parametrize("name", ["ablation", "many"])
def test_no_letters_of_a_figure_are_cut_off_or_lie_on_each_other(pages, visit, name):
    page = visit(1280).page
    page.goto(pages[name])
    for figure in page.locator("figure svg").all():
        frame, boxes = figure.evaluate(LETTERS)
        for left, top, right, bottom, words in boxes:
            assert left >= frame[0] - 4, words
            assert right <= frame[2] + 4, words
            assert top >= frame[1] - 4, words
            assert bottom <= frame[3] + 4, words
        for number, (left, top, right, bottom, words) in enumerate(boxes):
            for other in boxes[:number]:
                across = min(right, other[2]) - max(left, other[0])
                down = min(bottom, other[3]) - max(top, other[1])
                # boxes hold the room above and below letters too
                assert across < 3 or down < 6, f"{words} lies on {other[4]}"


def contrast(one, two):
    """WCAG's contrast of two `rgb(r, g, b)`."""

    def luminance(color):
        parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)
