"""Sources of images: a module per source, with the name that `data.source` has for it."""
