"""What an evaluation lacks, why, and how to get it."""

from collections.abc import Iterator

from celeba_gan.evaluation.documents import Evaluation
from celeba_gan.evaluation.metrics.metric import LEAST_IMAGES, Group
from celeba_gan.evaluation.metrics.registry import read_name


def find_gaps(evaluation: Evaluation) -> dict[Group, list[str]]:
    """Sentences about missing numbers, by their group."""
    measured = {read_name(name).number.name for name in evaluation.metrics}
    gaps: dict[Group, list[str]] = {"quality": list(_quality(evaluation))}
    if "recall" not in measured:
        gaps["variety"] = ["Recall and coverage are missing: they need features, too."]
    if "memorised" not in measured:
        gaps["originality"] = [
            f"The shares of memorised and repeated samples are missing. {how_to_get_features(evaluation)}"
        ]
    gaps["discriminator"] = list(_discriminator(evaluation))
    return {group: sentences for group, sentences in gaps.items() if sentences}


def attributes_missing(evaluation: Evaluation) -> str:
    """Why there is no chart of attributes."""
    if (count := evaluation.protocol.images_per_side) < LEAST_IMAGES:
        return f"There are too few images to compare attributes ({count} a side)."
    return (
        "The samples’ attributes are unknown: that needs the attribute classifier, which is trained on images with "
        "attributes (attributes.csv, or list_attr_celeba.txt of CelebA), at least 64 of them."
    )


def how_to_get_features(evaluation: Evaluation) -> str:
    """Why nothing was measured in features, and what to do."""
    count = evaluation.protocol.images_per_side
    if count < LEAST_IMAGES:
        return (
            f"They need features, for which {count} images a side are too few. Valid and test need at least "
            f"{LEAST_IMAGES} images; a split that is drawn has more with a larger ingest.valid_share."
        )
    return (
        "They need features: for images with attributes a classifier is trained; for others, set Inception’s weights "
        "(--params evaluate.inception_weights=FILE) or an ONNX file (evaluate.features.path=FILE)."
    )


def _quality(evaluation: Evaluation) -> Iterator[str]:
    found = {name.features for name in map(read_name, evaluation.metrics) if name.number.name == "frechet"}
    if not found:
        yield f"Fréchet and kernel distance, precision and density are missing. {how_to_get_features(evaluation)}"
    elif "inception" not in found:
        yield (
            "Inception’s features, in which other projects measure FID, are missing: their weights are not on this "
            "machine. Set torch-fidelity’s file with --params evaluate.inception_weights=FILE."
        )
    if "swd" not in evaluation.metrics:
        yield "The sliced Wasserstein distance is missing."


def _discriminator(evaluation: Evaluation) -> Iterator[str]:
    if "c2st_accuracy" not in evaluation.metrics:
        skipped = evaluation.protocol.two_sample_images == 0
        why = "evaluate.two_sample_images is 0" if skipped else f"it needs {LEAST_IMAGES} images of the valid split"
        yield f"No new classifier was trained: {why}."
    if "age" not in evaluation.metrics:
        yield (
            "AGE is missing: there is no discriminator for this generator. To measure it, evaluate an experiment "
            "(--params evaluate.model=NAME)."
        )
