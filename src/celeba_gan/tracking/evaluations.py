"""An evaluation's numbers: they are those of the run, of the model that was measured, and of the images."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celeba_gan.foundation.flat import flatten
from celeba_gan.tracking.flat import is_number

if TYPE_CHECKING:  # importing the store imports MLflow
    from celeba_gan.tracking.store import TrackedImages, TrackedRun

_OF_THE_RUN = ("training_id", "images", "finished")


def log_evaluation(run: "TrackedRun", data: Mapping[str, Any], images: "TrackedImages | None") -> str | None:
    """Logs `metrics` as `evaluate/<name>`, the floors and intervals below it, and `protocol` as tags.

    Args:
        run: Gets them.
        data: As in `evaluation.json`.
        images: What was measured with; None where that is not known.

    Returns:
        The id of the logged model that was measured; None where there is none.
    """
    protocol = data.get("protocol", {})
    below = {f"evaluate/{part}": data.get(part, {}) for part in ("floor", "floor_train", "intervals")}
    sections = {"evaluate": data.get("metrics", {}), **below}
    values = {key: value for prefix, part in sections.items() for key, value in flatten(part, prefix, "/").items()}
    step = int(protocol.get("images", 0))
    model_id = run.store.find_model(protocol["training_id"], step) if "training_id" in protocol else None
    if images is not None:
        run.link_images(images, "evaluation")
    run.log_metrics([(key, value, step) for key, value in values.items() if is_number(value)], model_id, images)
    run.set_tags(flatten({key: value for key, value in protocol.items() if key not in _OF_THE_RUN}, "protocol"))
    return model_id
