"""Kedro hooks other than tracking."""
