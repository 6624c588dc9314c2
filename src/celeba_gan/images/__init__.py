"""Photographs to packed uint8 shards and their labels: decoding, packing, worker processes."""
