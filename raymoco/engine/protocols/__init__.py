"""Evaluation protocols: a module per protocol, and the Protocol for third-party ones.

Nothing is imported here: a sweep file asks `reported.py` for the metrics, and must not wait for
torch.
"""
