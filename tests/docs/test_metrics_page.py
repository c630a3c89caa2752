"""docs/method.md lists the metrics that there are."""

from pathlib import Path

from raymoco.metrics import BEGIN, END, LISTED, Metric, metrics_table, with_table

PAGE = Path(__file__).parents[2] / "docs" / "method.md"


def test_the_table_of_metrics_is_that_of_the_code():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(BEGIN + metrics_table() + END) == 1, (
        "run: python -m raymoco.metrics docs/method.md"
    )


def test_a_new_metric_gets_into_the_page_and_what_stands_around_stays(monkeypatch):
    monkeypatch.setitem(LISTED, "eval/new", Metric("eval/new", "what is new"))
    before = PAGE.read_text(encoding="utf-8")
    after = with_table(before)
    (added,) = set(after.splitlines()) - set(before.splitlines())
    assert added.startswith("| `eval/new` | what is new |")
    assert after.replace(f"{added}\n", "") == before
