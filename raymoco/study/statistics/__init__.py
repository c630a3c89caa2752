"""Statistics: which differences are resolved and which are not.

paired has the formulas as pure functions; comparisons applies them to a journal's cells, effects
defines the contrasts of a design's factors, importance ranks the axes of a search.
"""
