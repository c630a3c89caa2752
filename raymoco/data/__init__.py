"""Images in: sources, Parquet shards, Ray Data streams in a known order, two views of a batch.

The way of an image: a `Source` lists entries and reads images, `ensure_shards` stores them once,
`prepare_images` decodes them in the driver, `open_images` hands batches to a worker, and what
`build_views` built makes of each batch the two views that contrastive learning compares.
"""
