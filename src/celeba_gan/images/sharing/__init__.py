"""Packing by several ranks."""
