"""How an encoder is judged: a protocol per file, a Protocol for somebody else's.

Nothing is imported here: a sweep file asks `reported.py` for the metrics, and must not wait for
torch.
"""
