"""Wiring of the generate stage."""

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.generate.nodes import animate_training, draw_sample_grid, generate_samples


def create_pipeline() -> Pipeline:
    """From generator, or the best measured one, to samples, sample_grid; from training_grids to training_animation."""
    nodes = [
        Node(
            generate_samples,
            inputs=["training_run", "params:generate", "samples_previous"],
            outputs="samples",
            name="generate_samples",
        ),
        Node(
            draw_sample_grid, inputs=["training_run", "params:generate"], outputs="sample_grid", name="draw_sample_grid"
        ),
        Node(animate_training, inputs="training_grids", outputs="training_animation", name="animate_training"),
    ]
    return Pipeline(nodes)
