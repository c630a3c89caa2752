"""Parquet shards: plan, build, find again, look at."""
