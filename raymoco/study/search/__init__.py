"""How a search chooses, in front of Tune.

searcher tells Optuna the truth about trials; proposals, warm starts and populations say what comes
next; schedulers stop trials early; ranking says which trial is best.
"""
