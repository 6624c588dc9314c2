"""The pipelines by name.

Written out, because Kedro's own search loads only the pipelines named on the command line, which breaks composite
names.
"""

from kedro.pipeline import Pipeline

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
