"""The catalog of this project."""

from collections.abc import Iterable

from kedro.io import DataCatalog


class StaleAwareCatalog(DataCatalog):
    """A catalog whose stale entries count as missing, so that `--only-missing-outputs` makes them again.

    Kedro checks only whether each node's own outputs exist: it would resume a training and keep the evaluation of the
    earlier generator.
    """

    stale: frozenset[str] = frozenset()

    def mark_stale(self, names: Iterable[str]) -> None:
        """Makes these entries count as missing for the rest of the run."""
        self.stale = frozenset(names)

    def exists(self, ds_name: str) -> bool:
        """Whether the entry is there and not stale."""
        return ds_name not in self.stale and super().exists(ds_name)
