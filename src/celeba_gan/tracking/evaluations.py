"""Logging an evaluation: its metrics, how they were measured, and which logged model they are about."""

from typing import TYPE_CHECKING, Final

from celeba_gan.evaluation.documents import Evaluation
from celeba_gan.foundation.flat import flatten

if TYPE_CHECKING:  # importing the store imports MLflow
    from celeba_gan.tracking.store import TrackedImages, TrackedRun

_OF_THE_RUN: Final = {"training_id", "images", "finished"}


def log_evaluation(run: "TrackedRun", evaluation: Evaluation, images: "TrackedImages | None") -> str | None:
    """Logs `metrics` as `evaluate/<name>`, the floors and intervals below it, and `protocol` as tags.

    Args:
        run: Where they are logged.
        evaluation: What was measured.
        images: The real images; None where they are unknown.

    Returns:
        The id of the logged model that was measured; None without one.
    """
    protocol = evaluation.protocol
    ends = {name: {"low": one.low, "high": one.high} for name, one in evaluation.intervals.items()}
    below = {"floor": evaluation.floor, "floor_train": evaluation.floor_train, "intervals": ends}
    values = flatten({**evaluation.metrics, **below}, "evaluate", "/")
    model_id = run.store.find_model(protocol.training_id, protocol.images)
    if images is not None:
        run.link_images(images, "evaluation")
    run.log_metrics([(key, value, protocol.images) for key, value in values.items()], model_id, images)
    run.set_tags(flatten(protocol.model_dump(mode="json", exclude=_OF_THE_RUN), "protocol"))
    return model_id
