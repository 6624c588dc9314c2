"""Kedro pipelines, one per stage."""
