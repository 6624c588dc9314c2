"""`--only-missing-outputs` that leaves no child older than its parent."""

from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline


class MissingSpreads:
    """Makes "missing" spread downstream.

    Kedro looks at the existence of each node's own outputs alone: it would train further and leave the evaluation of
    the former generator standing. Here every output downstream of a node that will run says that it does not exist.
    """

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Marks the stale outputs in this run's catalog, before Kedro asks which exist."""
        if not run_params.get("only_missing_outputs"):
            return
        for name in stale_outputs(pipeline, catalog):
            if name in catalog:
                # On the instance: the runner asks `catalog.exists`, which asks the dataset. And a function of this
                # module rather than a lambda: ParallelRunner pickles the catalog.
                catalog[name].exists = _never  # type: ignore[method-assign]


def stale_outputs(pipeline: Pipeline, catalog: DataCatalog) -> set[str]:
    """The outputs of nodes that have to run: one of their outputs is missing, or one of their inputs is stale."""
    stale: set[str] = set()
    for node in pipeline.nodes:  # parents first
        if stale.intersection(node.inputs) or any(_is_missing(catalog, name) for name in node.outputs):
            stale.update(node.outputs)
    return stale


def _is_missing(catalog: DataCatalog, name: str) -> bool:
    """As Kedro's runner has it: what is only in memory is never missing, it is made when a child needs it."""
    return name in catalog and not getattr(catalog.get(name), "_EPHEMERAL", False) and not catalog.exists(name)


def _never() -> bool:
    return False
