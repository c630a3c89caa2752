"""The looks of an ablation: the seeds, the alpha spent, and what was decided at each."""

from __future__ import annotations

from raymoco.study.report.comparison_table import numeric
from raymoco.study.report.document import Grid, Section
from raymoco.study.report.findings import Findings
from raymoco.study.report.labels import number, p_value

SPENDING = {
    "obrien_fleming": "the O'Brien-Fleming function of Lan and DeMets",
    "bonferroni": "Bonferroni, the same for each look",
}


def looks_section(findings: Findings) -> Section:
    """Return a table with a row per planned look; an empty section without looks."""
    spec, found = findings.ablation, findings.comparisons
    section = Section("Looks")
    if spec is None or spec.looks is None or found is None:
        return section
    columns = ["look", "seeds", "level", "alpha spent", "decided", "verdicts"]
    rows = []
    for count, look in enumerate(found.looks, start=1):
        decided = {row: verdict for row, verdict in look.decided.items() if row not in look.open}
        said = "; ".join(f"{row}: {verdict}" for row, verdict in decided.items())
        rows.append(
            [
                str(count),
                str(look.seeds),
                p_value(look.level),
                number(look.spent),
                f"{len(decided)} of {len(look.decided)}" if look.taken else "not taken",
                said or ("none" if look.taken else ""),
            ]
        )
    caption = (
        f"Alpha is spent by {SPENDING[spec.looks.spending]}; both families of a look are judged at "
        "its level. The levels add up to 0.05, so all looks together are wrong at most that often"
    )
    section.grids.append(Grid(columns, rows, caption, numeric(columns) - {"decided", "verdicts"}))
    return section


def look_sentences(findings: Findings) -> list[str]:
    """Return in a sentence which look the results are of; nothing without looks."""
    found = findings.comparisons
    if found is None or not found.looks:
        return []
    taken = [look for look in found.looks if look.taken]
    first, most = found.looks[0].seeds, found.looks[-1].seeds
    if not taken:
        return [f"Nothing is judged yet: the first look is at {first} seeds."]
    last = taken[-1]
    at = f"The results are those of the look at {last.seeds} seeds"
    if last.seeds == most:
        return [f"{at}, the last, judged at level {last.level:.2g}."]
    level = f"judged at level {last.level:.2g}"
    if last.open:
        after = found.looks[len(taken)].seeds
        return [f"{at}, {level}; further trials are left out until the look at {after}."]
    return [f"{at}, {level}: every row is decided, so the sweep ends before its {most} seeds."]
