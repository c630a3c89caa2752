"""From shards to batches: what is prepared once, what each worker reads, and in which order."""
