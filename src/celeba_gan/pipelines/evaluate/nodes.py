"""Nodes of the evaluate stage."""

import hashlib
import logging
from typing import TYPE_CHECKING, Any

from celeba_gan.evaluation.config import EvaluateSettings
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
    """Trains the network whose features distances are measured in; that of before stands if it is of the same data.

    For images without attributes, or very few images, there is none: the card then names no attributes.
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
        part("valid", 5000),
        names,
        epochs=settings.classifier.epochs,
        seed=settings.classifier.seed,
        device=find_device("auto"),
    )
    card = {"attributes": names, "size": packed_images.size, "report": report, "made_from": made_from}
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
) -> tuple[dict[str, Any], ImageGrid, ImageGrid]:
    """Measures the generator against the test split; with `evaluate.against` another one, too, in the same way.

    Gives the numbers (`evaluation.json`), samples beside reals, and samples beside their nearest training images.
    """
    from celeba_gan.evaluation.attributes import describe_attributes
    from celeba_gan.evaluation.compare import compare_models
    from celeba_gan.evaluation.evaluate import Evaluation, EvaluationError, evaluate
    from celeba_gan.gan.runtime.hardware import find_device, use_all_cores
    from celeba_gan.reporting.evaluation.pictures import draw_beside_reals, draw_neighbours

    use_all_cores()
    device = find_device("auto")
    extractors = _extractors(attribute_classifier, settings, device)
    which = "last"
    if settings.which == "best" and best_measured is not None:
        which, (generator, discriminator) = "best", best_measured
        logger.info("Measuring the best networks, of the tick after %d images", generator.card["images"])
    judge_network = generator.card["network"]  # one for both models, for one that judges worse would flatter

    def measure(generator: Checkpoint, discriminator: Checkpoint | None) -> Evaluation:
        networks = (generator, discriminator)
        models, reals = _bind(networks, judge_network, packed_images, labels, classes, settings.seed, device)
        found = evaluate(models, reals, settings, extractors, feature_store)
        condition = models.card.get("condition")
        of_classifier = found.described.get("attributes")
        found.card["attributes"] = of_classifier and describe_attributes(
            attribute_classifier.card, *of_classifier, found.labels, condition["names"] if condition else ()
        )
        return found

    if compared_networks is not None and compared_networks[1].card["size"] != generator.card["size"]:
        raise EvaluationError(
            f"evaluate.against: {compared_networks[0]} makes images of {compared_networks[1].card['size']} pixels, and "
            f"the model that is measured {generator.card['size']}; only models of one size compare"
        )
    result = measure(generator, discriminator)
    card = result.card
    card["protocol"] |= {"model": settings.model, "which": which}
    if compared_networks is not None:
        label, other_generator, other_discriminator = compared_networks
        logger.info("Measuring %s in the same way", label)
        other = measure(other_generator, other_discriminator).card
        card["comparison"] = compare_models(settings.model or "this model", card, label, other) | {"measured": other}
    images, found = card["protocol"]["images"], result.neighbours
    return (
        card,
        draw_beside_reals(result.samples, result.reals, images),
        draw_neighbours((found.samples, found.neighbours, found.names) if found else None, images),
    )


def report_evaluation(
    evaluation: dict[str, Any], measured_grid: ImageGrid, neighbour_grid: ImageGrid, metric_rows: Any
) -> tuple[Any, str]:
    """Draws the chart of attributes, and writes the page that shows everything: a plotly figure and HTML."""
    from celeba_gan.reporting.evaluation.charts import plot_attribute_shares
    from celeba_gan.reporting.evaluation.page import render_report
    from celeba_gan.reporting.training.curves import plot_curves

    chart = plot_attribute_shares(evaluation["attributes"])
    images = evaluation["protocol"]["images"]
    # The rows are those of the experiment's own training, and not of a model from elsewhere.
    own = evaluation["protocol"]["model"] is None and len(metric_rows)
    page = render_report(
        evaluation,
        title=f"{evaluation['protocol'].get('model') or 'A generator'} after {images / 1000:,.4g} thousand images",
        curves=plot_curves(metric_rows) if own else None,
        attribute_chart=chart if evaluation["attributes"] else None,
        pictures={"Samples and reals": measured_grid.pixels, "Nearest training images": neighbour_grid.pixels},
    )
    return chart, page


def _extractors(attribute_classifier: Checkpoint, settings: EvaluateSettings, device: str) -> "list[Extractor]":
    """Whatever can tell features of images here: the classifier of attributes, Inception, a file of the user's."""
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
    judge_network: dict[str, Any],
    packed_images: PackedImages,
    labels: Any,
    classes: Any,
    seed: int,
    device: str,
) -> "tuple[Models, Reals]":
    """Networks and packed images as evaluation takes them: through functions."""
    import torch

    from celeba_gan.evaluation.image_sets import Judge, Models, Reals
    from celeba_gan.gan.inputs.conditions import Conditions
    from celeba_gan.gan.networks.build import build_discriminator
    from celeba_gan.gan.networks.config import NetworkSettings
    from celeba_gan.gan.sampling.trained import TrainedDiscriminator, TrainedGenerator
    from celeba_gan.images.labels import check_labels, labels_as_named

    generator, discriminator = networks
    network = NetworkSettings.model_validate(judge_network)

    def fresh_judge() -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_discriminator(network, generator.card["size"]).to(device)

    judge = None
    if discriminator is not None:
        scores = TrainedDiscriminator(discriminator, device).scores
        judge = Judge(scores, discriminator.card["probability"], discriminator.card)
    sample = TrainedGenerator(generator, device).sample_labelled
    condition = generator.card.get("condition")  # cards of before there were labels lack it
    conditions = Conditions.none()
    if condition is not None:
        check_labels(labels, packed_images.manifest)
        values = labels_as_named(labels, classes, condition["kind"], condition["names"])
        conditions = Conditions(condition["kind"], condition["names"], values)
    manifest = packed_images.manifest
    norm = ", spectral norm" if network.spectral_norm else ""
    judged_by = f"{network.name} {getattr(network, network.name).model_dump_json()}{norm}"
    return Models(sample, generator.card, judge, fresh_judge, judged_by), Reals(
        packed_images.gather, conditions.of, manifest.splits, manifest.model_dump(mode="json")
    )
