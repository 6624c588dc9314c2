"""Nodes of the evaluate stage."""

import hashlib
import logging
from typing import Any

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.gan.checkpoint import Checkpoint
from celeba_gan.imaging.packed import PackedImages

logger = logging.getLogger(__name__)


def fit_attribute_classifier(
    packed_images: PackedImages, labels: Any, settings: EvaluateSettings, before: Checkpoint | None
) -> Checkpoint:
    """Trains the network whose features distances are measured in; that of before stands if it is of the same data.

    For images without attributes, or very few images, there is none: the card then names no attributes.
    """
    from celeba_gan.evaluation.classifier import CLASSIFIER_VERSION, LEAST_IMAGES, LabelledImages, fit_classifier
    from celeba_gan.gan.hardware import find_device, use_all_cores
    from celeba_gan.imaging.labels import attribute_names, check_labels

    use_all_cores()
    check_labels(labels, packed_images.manifest)
    names = attribute_names(labels)
    values = labels[names].to_numpy("int64")
    made_from = {
        "version": CLASSIFIER_VERSION,
        "data_digest": packed_images.digest,
        "attributes": names,
        "values": hashlib.sha256(values.astype("<i1").tobytes()).hexdigest()[:16],
        **settings.classifier.model_dump(mode="json"),
    }
    if before is not None and before.card["made_from"] == made_from:
        return before
    counts = {split: stop - start for split, (start, stop) in packed_images.manifest.splits.items()}
    if not names or counts["train"] < LEAST_IMAGES or counts["valid"] < 2:
        why = "have no attributes" if not names else f"are too few ({counts['train']} for training)"
        logger.info(
            "These images %s, so there is no attribute classifier: Fréchet distance, precision and others that need "
            "features are left out",
            why,
        )
        return Checkpoint("classifier", {"attributes": [], "made_from": made_from}, {})

    def part(split: str, most: int) -> LabelledImages:
        start, stop = packed_images.split(split)
        stop = min(stop, start + most)
        return LabelledImages(lambda positions: packed_images.gather(positions + start), values[start:stop])

    tensors, report = fit_classifier(
        part("train", settings.classifier.images),
        part("valid", settings.images),
        names,
        epochs=settings.classifier.epochs,
        seed=settings.classifier.seed,
        device=find_device("auto"),
    )
    card = {"attributes": names, "size": packed_images.size, "report": report, "made_from": made_from}
    return Checkpoint("classifier", card, tensors)


def evaluate_generator(
    generator: Checkpoint,
    discriminator: Checkpoint,
    packed_images: PackedImages,
    labels: Any,
    classes: Any,
    attribute_classifier: Checkpoint,
    settings: EvaluateSettings,
) -> dict[str, Any]:
    """Measures the generator against the test split: `{"metrics": ..., "floor": ..., "protocol": ...}`, and more."""
    import torch

    from celeba_gan.evaluation.classifier import AttributeClassifier
    from celeba_gan.evaluation.evaluate import Extractor, Models, Reals, evaluate
    from celeba_gan.evaluation.inception import InceptionFeatures, find_weights
    from celeba_gan.gan.conditions import Conditions
    from celeba_gan.gan.config import NetworkSettings
    from celeba_gan.gan.hardware import find_device, use_all_cores
    from celeba_gan.gan.networks.build import build_discriminator
    from celeba_gan.gan.trained import TrainedDiscriminator, TrainedGenerator
    from celeba_gan.imaging.labels import check_labels, labels_as_named

    use_all_cores()
    device = find_device("auto")
    trained, judge = TrainedGenerator(generator, device), TrainedDiscriminator(discriminator, device)
    network = NetworkSettings.model_validate(discriminator.card["network"])

    def fresh_judge() -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            return build_discriminator(network, discriminator.card["size"]).to(device)

    models = Models(
        trained.sample_labelled,
        judge.scores,
        discriminator.card["probability"],
        generator.card,
        discriminator.card,
        fresh_judge,
    )
    condition = generator.card.get("condition")  # cards of before there were labels lack it
    conditions = Conditions.none()
    if condition is not None:
        check_labels(labels, packed_images.manifest)
        values = labels_as_named(labels, classes, condition["kind"], condition["names"])
        conditions = Conditions(condition["kind"], condition["names"], values)
    reals = Reals(
        packed_images.gather,
        conditions.of,
        packed_images.manifest.splits,
        packed_images.manifest.model_dump(mode="json"),
    )
    attributes = attribute_classifier.card["attributes"]
    extractors: list[Extractor] = []
    if attributes:
        extractors.append(AttributeClassifier(attributes, attribute_classifier.tensors, device))
    if (weights := find_weights(settings.inception_weights)) is not None:
        extractors.append(InceptionFeatures(weights, device))
    return evaluate(models, reals, settings, extractors)
