"""The processes that do one run together."""
