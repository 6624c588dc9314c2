"""The pipelines by name.

Written out, because Kedro's own search loads only the pipelines named on the command line, which breaks composite
names.
"""

from typing import Final

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.evaluate import pipeline as evaluate
from celeba_gan.pipelines.export import pipeline as export
from celeba_gan.pipelines.generate import pipeline as generate
from celeba_gan.pipelines.ingest import pipeline as ingest
from celeba_gan.pipelines.plan import pipeline as plan
from celeba_gan.pipelines.preprocess import pipeline as preprocess
from celeba_gan.pipelines.train import pipeline as train


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines; `__default__` chains the stages, `plan` and `export` are none of them."""
    modules = {"ingest": ingest, "preprocess": preprocess, "train": train, "evaluate": evaluate, "generate": generate}
    stages = {
        name: Pipeline(module.create_pipeline(), namespace=name, prefix_datasets_with_namespace=False, tags=name)
        for name, module in modules.items()
    }
    others = {"plan": plan.create_pipeline(), "export": export.create_pipeline()}
    return {**stages, **others, "__default__": sum(stages.values(), start=Pipeline([]))}


FOLLOWED_STAGES: Final = ("preprocess", "train", "evaluate", "generate")
"""Stages that may run under torchrun."""


def register_followers() -> dict[str, Node]:
    """What the other ranks do while rank 0 runs a node, by that node's name; during others they wait."""
    stages = (preprocess, train, evaluate, generate)
    return {node.name: node for stage in stages for node in stage.create_followers()}
