"""Images: sources, Parquet shards, Ray Data streams in a known order, two views of each batch.

The path of an image: a `Source` lists and reads it, `ensure_shards` stores it once,
`prepare_images` decodes it in the driver, `open_images` gives it to a worker in a batch, and the
module that `build_views` returned makes the two views that contrastive learning compares.
"""
