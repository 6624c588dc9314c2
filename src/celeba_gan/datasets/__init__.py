"""Kedro datasets: the only place that knows the file formats of this project's artifacts."""
