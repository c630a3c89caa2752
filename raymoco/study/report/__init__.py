"""What a sweep found, as a page, a Markdown file, a LaTeX file and figures.

findings reads the folder, sections arranges what it holds, charts draw it, render writes it down.
"""

from raymoco.study.report.write import Report, report

__all__ = ["Report", "report"]
