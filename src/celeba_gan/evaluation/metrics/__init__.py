"""Metrics, a file each, and the registry."""
