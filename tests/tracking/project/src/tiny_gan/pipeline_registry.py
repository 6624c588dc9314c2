"""The pipelines of the project that the tests of tracking run."""

from kedro.pipeline import Node, Pipeline
from tiny_gan.nodes import choose, draw_dots, measure, publish, train_tiny


def register_pipelines() -> dict[str, Pipeline]:
    stages = {
        "draw": Pipeline([Node(draw_dots, None, "dots", name="draw")]),
        "train": Pipeline(
            [
                Node(
                    train_tiny,
                    ["params:train", "training_run_previous"],
                    ["metric_rows", "training_grids", "training_run"],
                    name="train",
                )
            ]
        ),
        "evaluate": Pipeline(
            [
                Node(choose, "params:evaluate", "chosen", name="choose"),
                Node(measure, ["training_run", "evaluated_model"], "evaluation", name="measure"),
            ]
        ),
    }
    export = Pipeline([Node(publish, None, "exported_folder", name="publish")])
    return {**stages, "export": export, "__default__": sum(stages.values(), start=Pipeline([]))}
