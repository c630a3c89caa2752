"""A trained encoder in use: found by name, loaded, applied to files, judged again, exported."""
