"""Nodes of the evaluate stage."""

import hashlib
import logging
from typing import TYPE_CHECKING, Any, Literal

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.documents import Evaluation
from celeba_gan.evaluation.features.store import FeatureStore
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.images.packed import PackedImages
from celeba_gan.reporting.grids import ImageGrid

if TYPE_CHECKING:  # of functions that are no nodes: Kedro reads the annotations of those
    from celeba_gan.evaluation.image_sets import Extractor, Models, Reals

logger = logging.getLogger(__name__)


def fit_attribute_classifier(
    packed_images: PackedImages, labels: Any, settings: EvaluateSettings, before: Checkpoint | None
) -> Checkpoint:
    """Trains the network in whose features distances are measured; reuses the saved one if data and settings agree.

    For images without attributes, or very few images, there is none: its card then names no attributes.
    """
    from celeba_gan.evaluation.features.classifier import (
        CLASSIFIER_VERSION,
        LEAST_IMAGES,
        LabelledImages,
        fit_classifier,
    )
    from celeba_gan.gan.runtime.hardware import find_device, use_all_cores
    from celeba_gan.images.labels import attribute_names, check_labels

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
            "These images %s, so there is no attribute classifier: skipping the Fréchet distance and others that need "
            "features",
            why,
        )
        return Checkpoint("classifier", {"attributes": [], "made_from": made_from}, {})

    def part(split: str, most: int) -> LabelledImages:
        start, stop = packed_images.split(split)
        stop = min(stop, start + most)
        return LabelledImages(lambda positions: packed_images.gather(positions + start), values[start:stop])

    tensors, report = fit_classifier(
        part("train", settings.classifier.images),
        part("valid", 5000),
        names,
        epochs=settings.classifier.epochs,
        seed=settings.classifier.seed,
        device=find_device("auto"),
    )
    card = {
        "attributes": names,
        "size": packed_images.size,
        "report": report.model_dump(mode="json"),
        "made_from": made_from,
    }
    return Checkpoint("classifier", card, tensors)


def evaluate_generator(
    generator: Checkpoint,
    discriminator: Checkpoint | None,
    best_measured: tuple[Checkpoint, Checkpoint] | None,
    packed_images: PackedImages,
    labels: Any,
    classes: Any,
    attribute_classifier: Checkpoint,
    feature_store: FeatureStore,
    compared_networks: tuple[str, Checkpoint, Checkpoint | None] | None,
    settings: EvaluateSettings,
) -> tuple[Evaluation, ImageGrid, ImageGrid]:
    """Measures the generator against the test split; with `evaluate.compare_with` another one, too.

    Returns the numbers, a picture of samples beside reals, and one of samples beside their nearest training images.
    """
    from celeba_gan.evaluation.attributes import describe_attributes
    from celeba_gan.evaluation.compare import compare_models
    from celeba_gan.evaluation.evaluate import EvaluationError, Result, evaluate
    from celeba_gan.evaluation.features.classifier import ClassifierReport
    from celeba_gan.gan.runtime.hardware import find_device, use_all_cores
    from celeba_gan.reporting.evaluation.pictures import draw_beside_reals, draw_neighbours

    use_all_cores()
    device = find_device("auto")
    extractors = _extractors(attribute_classifier, settings, device)
    which: Literal["last", "best"] = "last"
    if settings.checkpoint == "best" and best_measured is not None:
        which, (generator, discriminator) = "best", best_measured
        logger.info("Measuring the best networks, of the tick after %d images", generator.card["images"])
    network = generator.card["network"]  # the same new discriminator for both models: a weaker one would flatter

    def measure(generator: Checkpoint, discriminator: Checkpoint | None) -> tuple[Evaluation, Result]:
        networks = (generator, discriminator)
        models, reals = _bind(networks, network, packed_images, labels, classes, settings.seed, device)
        found = evaluate(models, reals, settings, extractors, feature_store)
        condition = generator.card.get("condition")
        of_classifier = found.probabilities.get("attributes")
        attributes = None
        if of_classifier is not None:
            report = ClassifierReport.model_validate(attribute_classifier.card["report"])
            quality = {name: report.attributes[name] for name in attribute_classifier.card["attributes"]}
            requested = condition["names"] if condition else ()
            attributes = describe_attributes(quality, *of_classifier, found.labels, requested)
        return found.evaluation.model_copy(update={"attributes": attributes}), found

    if compared_networks is not None and compared_networks[1].card["size"] != generator.card["size"]:
        raise EvaluationError(
            f"evaluate.compare_with: {compared_networks[0]} makes images of {compared_networks[1].card['size']} "
            f"pixels, the measured model {generator.card['size']}. Only models of one size can be compared"
        )
    evaluation, result = measure(generator, discriminator)
    protocol = evaluation.protocol.model_copy(update={"model": settings.model, "which": which})
    evaluation = evaluation.model_copy(update={"protocol": protocol})
    if compared_networks is not None:
        label, other_generator, other_discriminator = compared_networks
        logger.info("Measuring %s in the same way", label)
        other, _ = measure(other_generator, other_discriminator)
        comparison = compare_models(settings.model or "this model", evaluation, label, other)
        evaluation = evaluation.model_copy(update={"comparison": comparison})
    found = result.neighbours
    return (
        evaluation,
        draw_beside_reals(result.samples, result.reals, protocol.images),
        draw_neighbours((found.samples, found.neighbours, found.names) if found else None, protocol.images),
    )


def report_evaluation(
    evaluation: Evaluation, measured_grid: ImageGrid, neighbour_grid: ImageGrid, metric_rows: Any
) -> tuple[Any, str]:
    """Draws the chart of attributes, and writes the page that shows everything: a plotly figure and HTML."""
    from celeba_gan.reporting.evaluation.charts import plot_attribute_shares
    from celeba_gan.reporting.evaluation.page import render_report
    from celeba_gan.reporting.training.curves import plot_curves

    chart, protocol = plot_attribute_shares(evaluation.attributes), evaluation.protocol
    # The rows are those of the experiment's own training, and not of a model from elsewhere.
    own = protocol.model is None and len(metric_rows)
    page = render_report(
        evaluation,
        title=f"{protocol.model or 'A generator'} after {protocol.images / 1000:,.4g} thousand images",
        curves=plot_curves(metric_rows) if own else None,
        attribute_chart=chart if evaluation.attributes else None,
        pictures={"Samples and reals": measured_grid.pixels, "Nearest training images": neighbour_grid.pixels},
    )
    return chart, page


def _extractors(attribute_classifier: Checkpoint, settings: EvaluateSettings, device: str) -> "list[Extractor]":
    """The extractors of features that are available: attribute classifier, Inception, the user's file."""
    from celeba_gan.evaluation.features.classifier import AttributeClassifier
    from celeba_gan.evaluation.features.file import FeatureFile
    from celeba_gan.evaluation.features.inception import InceptionFeatures, find_weights

    found: list[Any] = []
    attributes = attribute_classifier.card["attributes"]
    if attributes:
        found.append(AttributeClassifier(attributes, attribute_classifier.tensors, device))
    if (weights := find_weights(settings.inception_weights)) is not None:
        found.append(InceptionFeatures(weights, device))
    if settings.features.path is not None:
        found.append(FeatureFile(settings.features, device))
    return found


def _bind(
    networks: tuple[Checkpoint, Checkpoint | None],
    new_network: Any,
    packed_images: PackedImages,
    labels: Any,
    classes: Any,
    seed: int,
    device: str,
) -> "tuple[Models, Reals]":
    """Networks and packed images as evaluation takes them: through functions."""
    import torch

    from celeba_gan.evaluation.image_sets import Discriminator, Models, Reals
    from celeba_gan.gan.inputs.conditions import Conditions
    from celeba_gan.gan.networks.build import build_discriminator
    from celeba_gan.gan.networks.config import NetworkSettings
    from celeba_gan.gan.sampling.trained import TrainedDiscriminator, TrainedGenerator
    from celeba_gan.images.labels import check_labels, labels_as_named

    generator, discriminator = networks
    card = generator.card
    network = NetworkSettings.model_validate(new_network)

    def new_discriminator() -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_discriminator(network, card["size"]).to(device)

    trained = None
    if discriminator is not None:
        scores, of = TrainedDiscriminator(discriminator, device).scores, discriminator.card
        trained = Discriminator(scores, of["probability"], of["id"], of["images"])
    condition = card.get("condition")  # cards of the first versions lack it
    conditions = Conditions.none()
    if condition is not None:
        check_labels(labels, packed_images.manifest)
        values = labels_as_named(labels, classes, condition["kind"], condition["names"])
        conditions = Conditions(condition["kind"], condition["names"], values)
    norm = ", spectral norm" if network.spectral_norm else ""
    models = Models(
        sample=TrainedGenerator(generator, device).sample_labelled,
        training_id=card["id"],
        images=card["images"],
        finished=card["finished"],
        size=card["size"],
        data_digest=card["data_digest"],
        discriminator=trained,
        new_discriminator=new_discriminator,
        random_crop=card.get("random_crop"),
        new_network=f"{network.name} {getattr(network, network.name).model_dump_json()}{norm}",
    )
    manifest = packed_images.manifest
    recipe = manifest.model_dump(mode="json")["recipe"]
    return models, Reals(
        packed_images.gather, conditions.of, manifest.splits, packed_images.size, packed_images.digest, recipe
    )
