"""Files that lie elsewhere: object stores, and whatever else fsspec reads."""
