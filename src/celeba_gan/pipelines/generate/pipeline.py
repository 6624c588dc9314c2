"""Wiring of the generate stage."""

from kedro.pipeline import Node, Pipeline

from celeba_gan.pipelines.generate.control_nodes import find_directions, project_photographs
from celeba_gan.pipelines.generate.nodes import (
    animate_training,
    draw_sample_grid,
    film_walk,
    follow_sampling,
    generate_samples,
)


def create_pipeline() -> Pipeline:
    """From the generator to samples, a grid, a film, directions and projections; from training_grids to a film."""
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
        Node(
            animate_training,
            inputs=["training_grids", "params:generate"],
            outputs="training_animation",
            name="animate_training",
        ),
        Node(film_walk, inputs=["training_run", "params:generate"], outputs="walk_film", name="film_walk"),
        Node(
            find_directions,
            inputs=["training_run", "attribute_classifier", "params:generate"],
            outputs=["directions", "directions_grid"],
            name="find_directions",
        ),
        Node(
            project_photographs,
            inputs=[
                "training_run",
                "attribute_classifier",
                "packed_images_previous",
                "projections_previous",
                "projection_grid_previous",
                "params:generate",
            ],
            outputs=["projections", "projection_grid"],
            name="project_photographs",
        ),
    ]
    return Pipeline(nodes)


def create_followers() -> list[Node]:
    """The part of ranks that do not lead, under the name of the node in which they have one."""
    return [Node(follow_sampling, inputs=["params:generate"], outputs=None, name="generate_samples")]
