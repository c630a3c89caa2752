"""What is resolved and what is not.

paired holds the formulas, numbers in and numbers out; comparisons applies them to a journal's
cells, effects to the factors of a design, importance to the axes of a search.
"""
