"""Where images come from: a file per source, named as `data.source` names it."""
