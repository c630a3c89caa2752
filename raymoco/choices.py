"""Everything that a config may name, and where its code is: the one place to add a choice to.

An entry is a name, the path of its code, and a line for people. The config's checks, its JSON
Schema and the docs follow. Nothing is imported here: see raymoco/registry.py.
"""
