"""Nobody's text breaks a report: it is escaped for HTML, Markdown, LaTeX and the terminal."""

import re
import shutil
import subprocess

import pytest
from rich.console import Console

from raymoco import report
from raymoco.study.journal.ledger import load_ledger
from raymoco.study.report.document import Document
from raymoco.study.report.latex import KNOWN, SIGNS, latex_text, to_latex
from raymoco.study.report.render import markdown_text
from raymoco.study.statistics.comparisons import compare_cells
from raymoco.study.sweepfile.load import load_sweep
from raymoco.study.terminal.dry_run import describe_sweep
from raymoco.study.terminal.tables import cells_table
from tests.report_pages import Page, text_of
from tests.written_sweeps import ABLATION, HOSTILE, write_ablation, write_search

PDFLATEX = shutil.which("pdflatex")
WORLDLY = """\
kind: ablation
name: worldly
question: |
  Does "τ" help — at ≥ 10 % of the labels?

  日本, Šárka and ½ 🙂 ask.
run: {preset: digits, epochs: 5}
factors:
  "τ (日本)":
    "τ=0.1 [none]": {method.temperature: 0.1}
    "≥ 0.2 [/w]":   {method.temperature: 0.2}
  "Größe":
    "K = 2⁶":  {method.queue_size: 64}
    "K → ∞": {method.queue_size: 256}
seeds: [0, 1, 2]
"""


@pytest.fixture(scope="module")
def ablation(tmp_path_factory):
    return report(write_ablation(tmp_path_factory.mktemp("a") / "terms"))


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    return report(write_search(tmp_path_factory.mktemp("s") / "found"))


@pytest.fixture(scope="module")
def worldly(tmp_path_factory):
    return report(write_ablation(tmp_path_factory.mktemp("w") / "worldly", WORLDLY))


def compile_latex(folder):
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert "Missing character" not in (folder / "report.log").read_text(errors="replace")


def printed(renderable):
    console = Console(width=200)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_nobodys_text_becomes_markup(tmp_path):
    hostile = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    text = ABLATION.replace("Does each term help?", f'"{hostile}"')
    text = text.replace("  cross:\n    off:", f'  "{hostile}":\n    "{hostile}":')
    found = report(write_ablation(tmp_path / "terms", text, failed=()))
    assert load_sweep(found.folder / "sweep.yaml").spec.question == HOSTILE
    page = Page(text_of(found))
    assert "script" not in page.tags
    assert page.open == []
    assert HOSTILE in page.words
    for figure in found.folder.glob("figures/*.svg"):
        assert "<script" not in figure.read_text()
    markdown = (found.folder / "report.md").read_text()
    assert "<script" not in markdown.replace("\\<script", "")
    latex = (found.folder / "report.tex").read_text()
    assert not re.search(r"(?<!\\)[$#]|(?<!\\)%.*script", latex.split(r"\begin{document}")[1])


@pytest.mark.parametrize(
    ("text", "markdown", "latex"),
    [
        ("a|b", r"a\|b", r"a\textbar{}b"),
        ("key_momentum _x_", r"key_momentum \_x\_", r"key\_momentum \_x\_"),
        ("-0.1 +-2 t-test", "−0.1 ±2 t-test", r"\ensuremath{-}0.1 \ensuremath{\pm}2 t-test"),
        ("50 % & {x}", "50 % & {x}", r"50 \% \& \{x\}"),
        ("\\", r"\\", r"\textbackslash{}"),
        ("1e-4 s-1", "1e-4 s-1", "1e-4 s-1"),
        ("Why?\n\n  So.\n", "Why? So.", "Why? So."),
        (
            "τ λ Δ µ",
            "τ λ Δ µ",
            " ".join(rf"\ensuremath{{\{g}}}" for g in ("tau", "lambda", "Delta", "mu")),
        ),
        ("≥ 2⁶ ½", "≥ 2⁶ ½", r"\ensuremath{\geq} 2\textsuperscript{6} \,1/2"),
        ("é ș 日🙂\u200b\x07", "é ș 日🙂\u200b\x07", "é s ??"),
    ],
)
def test_texts_are_escaped_for_their_language(text, markdown, latex):
    assert markdown_text(text) == markdown
    assert latex_text(text) == latex


def test_markdown_tables_have_as_many_cells_as_columns(ablation, search):
    for found in (ablation, search):
        widths = set()
        for line in (found.folder / "report.md").read_text().splitlines():
            if line.startswith("|"):
                widths.add(len(re.findall(r"(?<!\\)\|", line)))
            elif widths:
                assert len(widths) == 1
                widths.clear()
        for name in re.findall(r"\]\((figures/[^)]+)\)", (found.folder / "report.md").read_text()):
            assert (found.folder / name).exists()


def test_latex_tables_are_booktabs_and_balanced(ablation, search):
    for found in (ablation, search):
        text = (found.folder / "report.tex").read_text()
        assert r"\toprule" in text
        assert r"\hline" not in text
        stack = []
        for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
            if kind == "begin":
                stack.append(name)
            else:
                assert stack.pop() == name
        assert stack == []
        for columns, body in re.findall(
            r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL
        ):
            for line in (line for line in body.splitlines() if line.endswith(r"\\")):
                assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1
        for name in re.findall(r"detokenize\{([^}]+)\}", text):
            assert (found.folder / f"{name}.png").exists()


@pytest.mark.skipif(PDFLATEX is None, reason="LaTeX is not installed")
@pytest.mark.parametrize("which", ["ablation", "worldly"])
def test_latex_compiles(request, which):
    compile_latex(request.getfixturevalue(which).folder)


@pytest.mark.skipif(PDFLATEX is None, reason="LaTeX is not installed")
def test_latex_has_every_letter_that_is_left_as_it_is_or_has_a_word(tmp_path):
    letters = " ".join(sorted({*KNOWN, *SIGNS}))
    (tmp_path / "report.tex").write_text(to_latex(Document("letters", letters, ["x²½"], [], "")))
    compile_latex(tmp_path)


def test_a_question_of_several_lines_is_one_paragraph(worldly):
    markdown = (worldly.folder / "report.md").read_text()
    (question,) = re.findall(r"^\*\*(.*)\*\*$", markdown, re.MULTILINE)[:1]
    assert question.startswith("Does")
    assert question.endswith("ask.")
    latex = (worldly.folder / "report.tex").read_text()
    assert re.search(r"\\emph\{Does.*ask\.\}\n", latex)


def test_brackets_in_names_are_no_markup_for_the_terminal(worldly):
    sweep = load_sweep(worldly.folder / "sweep.yaml")
    found = compare_cells(sweep, load_ledger(worldly.folder / "journal.jsonl"))
    shown = printed(cells_table(found))
    for level in ("τ=0.1 [none]", "≥ 0.2 [/w]"):
        assert level in shown


def test_the_plan_shows_names_and_question_as_they_stand(tmp_path):
    text = WORLDLY.replace("ask.", "ask [/w] why.") + f"output: {tmp_path}\n"
    (tmp_path / "sweep.yaml").write_text(text)
    shown = printed(describe_sweep(load_sweep(tmp_path / "sweep.yaml")))
    for words in ("τ=0.1 [none]", "≥ 0.2 [/w]", "ask [/w] why."):
        assert words in shown
