"""Batches of a shard: which records are done, which are poison, and where to go on."""
