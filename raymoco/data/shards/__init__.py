"""Parquet shards: plan, build, find and inspect them."""
