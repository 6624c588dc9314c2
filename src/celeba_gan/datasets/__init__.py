"""Kedro datasets: catalog entries for files and folders."""
