"""From shards to batches: preparing the images once, and reading them in order in each worker."""
