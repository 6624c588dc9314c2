"""The pipelines by name.

Written out, because Kedro's own search loads only the pipelines named on the command line, which breaks composite
names.
"""

from kedro.pipeline import Pipeline

from celeba_gan.pipelines import evaluate, generate, ingest, plan, preprocess, train


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines; `__default__` chains the stages, `plan` is none of them."""
    stages = {
        "ingest": ingest.create_pipeline(),
        "preprocess": preprocess.create_pipeline(),
        "train": train.create_pipeline(),
        "evaluate": evaluate.create_pipeline(),
        "generate": generate.create_pipeline(),
    }
    return {**stages, "plan": plan.create_pipeline(), "__default__": sum(stages.values(), start=Pipeline([]))}
