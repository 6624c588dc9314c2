"""Runs under a launcher such as torchrun: rank 0 runs the pipeline, the others compute their share of some nodes."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol, DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import SequentialRunner
from pluggy import PluginManager

from celeba_gan.datasets.runs import RunDataset
from celeba_gan.foundation.files import source_digest
from celeba_gan.foundation.flat import flatten
from celeba_gan.foundation.safety.secrets import mask_secrets
from celeba_gan.gan.runs.checkpoint import CheckpointError
from celeba_gan.hooks.run_folders import RESUME
from celeba_gan.ranks.group import RanksError, current, join
from celeba_gan.ranks.launched import launched

FOLLOWING_RUNNER: Final = f"{__name__}.FollowingRunner"


class Leading:
    """The part of rank 0, which runs as a process alone would, and tells the others which nodes to begin."""

    @hook_impl(trylast=True)  # others refuse the parameters first, and the other ranks wait
    def after_context_created(self, context: KedroContext) -> None:
        """Waits for the other ranks, and compares what they were started with."""
        if launched().several:
            join()
            _compare(context)

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Refuses a run that several ranks would not make faster.

        Raises:
            RanksError: A stage is none of those that share their work.
        """
        from celeba_gan.pipeline_registry import FOLLOWED_STAGES

        others = sorted(node.name for node in pipeline.nodes if node.tags.isdisjoint(FOLLOWED_STAGES))
        if launched().several and others:
            raise RanksError(
                f"{', '.join(others)} cannot be shared by several ranks. Run it with kedro run, once, and under "
                f"torchrun only what comes before or after it: --pipelines {','.join(FOLLOWED_STAGES)}"
            )

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog) -> None:
        """Has the other ranks begin their part of the node, if they have one."""
        from celeba_gan.pipeline_registry import register_followers

        ranks = current()
        if ranks.several and (name := _name(node)) in register_followers():
            ranks.announce(name)
            _compare_snapshots(name, catalog)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Lets the other ranks end."""
        current().announce("")
        current().finish()


class Following:
    """The part of the other ranks, which neither write nor track."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Joins rank 0, which has refused wrong parameters before, and says what there is to say."""
        speak_of_errors_only()  # again: Kedro may have configured logging since
        join()
        _compare(context)


def speak_of_errors_only() -> None:
    """Leaves it to rank 0 to say what all ranks would say."""
    for name in ("kedro", "kedro_viz", "celeba_gan"):
        logging.getLogger(name).setLevel(logging.ERROR)


class FollowingRunner(SequentialRunner):
    """Runs this rank's part of each node that rank 0 announces, whatever the pipeline."""

    def run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol[Any, Any],
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
        only_missing_outputs: bool = False,
    ) -> dict[str, Any]:
        """Follows until rank 0 has ended."""
        from celeba_gan.pipeline_registry import register_followers

        ranks, followers = current(), register_followers()
        while name := ranks.announced():
            node = followers[name]
            ranks.sign_of_life(f"began {name}")
            _compare_snapshots(name, catalog)
            made = node.run({given: catalog.load(given) for given in node.inputs})
            for given, parts in made.items():
                for part in parts:
                    catalog.save(given, part)
        ranks.finish()
        return {}


def _compare(context: KedroContext) -> None:
    """Raises RanksError if a rank was started with another version, environment or parameters."""
    loader = context.config_loader
    parameters: Mapping[str, Any] = loader["parameters"]
    started = {"version of the code": source_digest(Path(__file__).parents[1]), "--env": loader.env}
    current().check_same(
        started | {name: mask_secrets(str(value)) for name, value in flatten(parameters).items()},
        "Start every host with the same command, on the same version of the project and its configuration",
    )


def _compare_snapshots(node: str, catalog: CatalogProtocol[Any, Any]) -> None:
    """Raises RanksError if another rank's folder has a later snapshot than rank 0's, which would be lost.

    Hosts may have folders of their own, of which only rank 0's are written; and rank 0 need not be on the same host
    when the launcher starts again.
    """
    if node != "train_gan" or not catalog.load(RESUME):
        return
    dataset = catalog.get("training_run_previous")
    assert isinstance(dataset, RunDataset)
    ranks, images = current(), -1
    with suppress(CheckpointError):
        card = dataset.run.card()
        images = card.images if card else -1
    found = ranks.gather([ranks.place.name, images])
    leader, first = found[0]
    name, latest = max(found, key=lambda one: one[1])
    if latest > first:
        has = f"has one at {first:,} images" if first >= 0 else "has none"
        error = RanksError(
            f"{name} has a snapshot at {latest:,} images, and {leader}, which would resume, {has}. Copy the "
            "experiment's folders in data/06_models, data/07_model_output and data/08_reporting there, remove or "
            "rename those that are old, or give another name: --params experiment=NAME"
        )
        raise ranks.agreed(error)


def _name(node: Node) -> str:
    return node.name.rpartition(".")[2]
