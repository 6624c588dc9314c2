"""Nodes of the evaluate stage."""

from typing import Any

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.gan.checkpoint import Checkpoint
from celeba_gan.imaging.packed import PackedImages


def evaluate_generator(
    generator: Checkpoint,
    discriminator: Checkpoint,
    packed_images: PackedImages,
    labels: Any,
    classes: Any,
    settings: EvaluateSettings,
) -> dict[str, Any]:
    """Measures the generator against the test split: `{"metrics": ..., "floor": ..., "protocol": ...}`."""
    from celeba_gan.evaluation.evaluate import Models, Reals, evaluate
    from celeba_gan.gan.conditions import Conditions
    from celeba_gan.gan.hardware import find_device
    from celeba_gan.gan.trained import TrainedDiscriminator, TrainedGenerator
    from celeba_gan.imaging.labels import check_labels, labels_as_named

    device = find_device("auto")
    trained, judge = TrainedGenerator(generator, device), TrainedDiscriminator(discriminator, device)
    models = Models(
        trained.sample_labelled, judge.scores, discriminator.card["probability"], generator.card, discriminator.card
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
    return evaluate(models, reals, settings)
