"""What an evaluation lacks, why, and how to get it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from celeba_gan.reporting.evaluation.glossary import Group, read_name

LEAST_IMAGES: Final = 20
"""A side, below which no features are compared."""


def find_gaps(evaluation: Mapping[str, Any]) -> dict[Group, list[str]]:
    """Sentences about the numbers that are not there, by the group they would stand in."""
    gaps: dict[Group, list[str]] = {
        "quality": list(_quality(evaluation)),
        "variety": list(_without(evaluation, "recall", "Recall and coverage are not here: they need features.")),
        "originality": list(
            _without(evaluation, "memorised", "Nothing is known of copies: nearness is measured in features.")
        ),
        "judge": list(_judge(evaluation)),
    }
    return {group: sentences for group, sentences in gaps.items() if sentences}


def attributes_missing(evaluation: Mapping[str, Any]) -> str:
    """Why there is no chart of attributes."""
    if _images(evaluation) < LEAST_IMAGES:
        return f"There are too few images to compare attributes ({_images(evaluation)} a side)."
    return (
        "Which attributes samples have is not known: it needs the attribute classifier, which is trained where the "
        "images have attributes (list_attr_celeba.txt, or custom annotations) and there are 64 training images."
    )


def _quality(evaluation: Mapping[str, Any]) -> Iterator[str]:
    found = {name.features for name in map(read_name, evaluation["metrics"]) if name.base == "frechet"}
    if not found and _images(evaluation) < LEAST_IMAGES:
        yield (
            f"Fréchet distance, precision and others in features are not here: {_images(evaluation)} images a side are "
            f"too few. Give valid and test {LEAST_IMAGES} images at least (ingest.valid_images)."
        )
    elif not found:
        yield (
            "Fréchet and kernel distance, precision and density are not here: they need features. Images with "
            "attributes get a classifier by themselves; for others, name Inception’s weights "
            "(--params evaluate.inception_weights=FILE) or a network of your own (evaluate.features.path=FILE)."
        )
    elif "inception" not in found:
        yield (
            "Inception’s features, which other projects’ FID is measured in, are not here: their weights are not on "
            "this machine. Name torch-fidelity’s file with --params evaluate.inception_weights=FILE."
        )
    if "swd" not in evaluation["metrics"]:
        yield "The sliced Wasserstein distance is not here."


def _judge(evaluation: Mapping[str, Any]) -> Iterator[str]:
    if "c2st_accuracy" not in evaluation["metrics"]:
        why = f"it needs {LEAST_IMAGES} images of the valid split"
        if evaluation.get("protocol", {}).get("two_sample_images") == 0:
            why = "evaluate.two_sample_images is 0"
        yield f"No fresh judge was trained: {why}."
    if "age" not in evaluation["metrics"]:
        yield (
            "There is no AGE: no discriminator lies beside this generator. Measure a whole experiment "
            "(--params evaluate.model=NAME) to have it."
        )


def _without(evaluation: Mapping[str, Any], base: str, sentence: str) -> Iterator[str]:
    if not any(read_name(name).base == base for name in evaluation["metrics"]):
        yield sentence


def _images(evaluation: Mapping[str, Any]) -> int:
    count: int = evaluation.get("protocol", {}).get("images_per_side", LEAST_IMAGES)
    return count
