"""The report of a sweep as HTML, Markdown, LaTeX and figures.

findings reads the folder, sections arranges the results, the charts draw them, render formats the
document, and write writes the files.
"""

from raymoco.study.report.write import Report, report

__all__ = ["Report", "report"]
