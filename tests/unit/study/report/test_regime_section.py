"""The report's section on the regime, from the counts that the driver has recorded."""

import json

from raymoco.study.report.findings import read_findings
from raymoco.study.report.regime_section import regime_section
from tests.written_sweeps import ABLATION, SEARCH, write_ablation, write_search

# every key that decides is written out, so that another preset changes no number
RUN = "{epochs: 5, optim: {batch_size: 256}, method: {key_momentum: 0.99, queue_size: 256}}"

BATCHES = """\
factors:
  batch:
    B=256: {optim.batch_size: 256}
    B=64:  {optim.batch_size: 64}
  loss:
    unicon:        {method.loss: unicon}
    cross_entropy: {method.loss: cross_entropy}
design: one_at_a_time
"""


def with_run(text):
    return text.replace("{preset: digits, epochs: 5}", RUN)


def section_of(folder):
    return regime_section(read_findings(folder))


def test_cells_are_listed_where_their_regime_differs(tmp_path):
    text = ABLATION[: ABLATION.index("factors:")] + BATCHES + "seeds: [0, 1, 2]\n"
    (grid,) = section_of(write_ablation(tmp_path / "terms", with_run(text))).grids
    # 1,288 images, 5 epochs: 25 steps of 256, 100 of 64; a queue of 256 keys is one epoch's fifth
    assert [list(row) for row in grid.rows] == [
        ["batch=B=256 loss=unicon", "25", "5", "0.78", "25 times", "0.20", "4%", "25.6"],
        ["batch=B=64 loss=unicon", "100", "20", "0.37", "25 times", "0.20", "2%", "25.6"],
        ["batch=B=256 loss=cross_entropy", "25", "5", "no keys", "", "", "", ""],
    ]


def test_cells_that_train_in_one_regime_are_one_row_and_the_warning_is_there(tmp_path):
    section = section_of(write_ablation(tmp_path / "terms", with_run(ABLATION)))
    assert [row[0] for row in section.grids[0].rows] == ["cross=off uniform=off"]
    listed, warning = section.sentences
    assert listed == "Cells that are not listed are as cross=off uniform=off."
    assert warning.startswith("Warning: every cell: 0.78 of the key encoder's first weights")


def test_a_search_tells_of_the_run_as_it_stands(tmp_path):
    section = section_of(write_search(tmp_path / "found", with_run(SEARCH)))
    assert section.grids[0].rows[0][:4] == ["default", "25", "5", "0.78"]


def test_code_that_is_not_here_is_told_and_a_sweep_of_version_0_1_has_no_label_counts(tmp_path):
    folder = write_search(tmp_path / "found")
    journal = folder / "journal.jsonl"
    first, *rest = journal.read_text().splitlines()
    begun = json.loads(first)
    del begun["tags"]["raymoco.train_labels"], begun["tags"]["raymoco.classes"]
    journal.write_text("\n".join([json.dumps(begun), *rest]) + "\n")
    assert section_of(folder).grids[0].rows[0][-1] == ""
    file = folder / "sweep.yaml"
    file.write_text(
        file.read_text().replace("{preset: digits", "{method: {loss: no.where:X}, preset: digits")
    )
    (said,) = section_of(folder).sentences
    assert "there is no module 'no'" in said
    del begun["tags"]["raymoco.train_images"]
    journal.write_text("\n".join([json.dumps(begun), *rest]) + "\n")
    assert section_of(folder).empty
