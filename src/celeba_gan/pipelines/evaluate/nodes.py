"""Nodes of the evaluate stage."""

import hashlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celeba_gan.evaluation.config import EvaluateSettings
from celeba_gan.evaluation.documents import Evaluation
from celeba_gan.evaluation.features.card import ClassifierCard
from celeba_gan.evaluation.features.store import FeatureStore
from celeba_gan.foundation.wording import stage_command
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.models import NamedModel
from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.runs.snapshot import Networks
from celeba_gan.images.packed import PackedImages
from celeba_gan.ranks.group import current
from celeba_gan.reporting.grids import ImageGrid

if TYPE_CHECKING:  # of functions that are not nodes: Kedro reads the annotations of nodes
    from celeba_gan.evaluation.image_sets import Extractor, Models, Reals
    from celeba_gan.gan.networks.config import NetworkSettings

logger = logging.getLogger(__name__)


def fit_attribute_classifier(
    packed_images: PackedImages,
    labels: Any,
    settings: EvaluateSettings,
    attribute_classifier_previous: Checkpoint[ClassifierCard] | None,
    bar: bool = True,
) -> Checkpoint[ClassifierCard]:
    """Trains the network in whose features distances are measured; reuses the saved one if data and settings agree.

    For images without attributes, or very few images, there is none: its card then names no attributes.
    """
    from celeba_gan.evaluation.features.classifier import CLASSIFIER_VERSION, LabelledImages, fit_classifier
    from celeba_gan.gan.runtime.hardware import find_device, use_all_cores
    from celeba_gan.images.labels import attribute_names, check_labels
    from celeba_gan.reporting.bars import StepsProgress

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
    previous = attribute_classifier_previous
    if previous is not None and previous.card.made_from == made_from:
        return previous
    if (why := no_classifier(names, packed_images.manifest.splits)) is not None:
        logger.info(
            "These images %s, so there is no attribute classifier: skipping the Fréchet distance and others that need "
            "features",
            why,
        )
        return Checkpoint("classifier", ClassifierCard(attributes=(), made_from=made_from), {})

    def part(split: str, most: int) -> LabelledImages:
        start, stop = packed_images.split(split)
        stop = min(stop, start + most)
        return LabelledImages(lambda positions: packed_images.gather(positions + start), values[start:stop])

    with StepsProgress(bar=bar) as shown:
        tensors, report = fit_classifier(
            part("train", settings.classifier.images),
            part("valid", 5000),
            names,
            epochs=settings.classifier.epochs,
            seed=settings.classifier.seed,
            device=find_device("auto"),
            progress=lambda seen, total: shown.show("Training the attribute classifier", seen, total),
        )
    card = ClassifierCard(attributes=tuple(names), size=packed_images.size, report=report, made_from=made_from)
    return Checkpoint("classifier", card, tensors)


def evaluate_generator(
    training_run: Run,
    evaluated_model: NamedModel | None,
    packed_images: PackedImages,
    labels: Any,
    classes: Any,
    attribute_classifier: Checkpoint[ClassifierCard] | None,
    feature_store: FeatureStore,
    compared_model: NamedModel | None,
    settings: EvaluateSettings,
    bar: bool = True,
) -> tuple[Evaluation, ImageGrid, ImageGrid]:
    """Measures the generator against the test split; with `evaluate.compare_with` another one, too.

    Returns the numbers, a picture of samples beside reals, and one of samples beside their nearest training images.
    """
    from celeba_gan.evaluation.attributes import describe_attributes
    from celeba_gan.evaluation.compare import compare_models
    from celeba_gan.evaluation.evaluate import EvaluationError, Result, evaluate
    from celeba_gan.evaluation.features.inception import InceptionFeatures, say_skipped
    from celeba_gan.gan.runs.snapshot import networks_from_leader
    from celeba_gan.gan.runtime.hardware import find_device, use_all_cores
    from celeba_gan.reporting.bars import StepsProgress
    from celeba_gan.reporting.evaluation.glossary import name_search
    from celeba_gan.reporting.evaluation.pictures import draw_beside_reals, draw_neighbours

    if attribute_classifier is None:
        raise EvaluationError(
            f"There is no attribute classifier of these images. Make it with {stage_command('evaluate')}"
        )
    use_all_cores()
    device, ranks = find_device("auto"), current()
    extractors = _extractors(settings, device, attribute_classifier)
    if not any(isinstance(extractor, InceptionFeatures) for extractor in extractors):
        say_skipped()
    networks = evaluated_model.networks() if evaluated_model else training_run.networks(settings.checkpoint)
    model = networks.generator.card
    measured_best = settings.checkpoint == "best" and model.best is not None and model.best.images == model.images
    new_network = model.network  # the same new discriminator for both models: a weaker one would flatter

    def measure(networks: Networks) -> tuple[Evaluation, Result]:
        if ranks.several:
            ranks.announce("measure")
            networks_from_leader(ranks, networks)
        models, reals = _bind(networks, new_network, packed_images, labels, classes, settings.seed, device)
        with StepsProgress(bar=bar) as shown:
            found = evaluate(models, reals, settings, extractors, feature_store, shown.show)
        ranks.announce("")
        classifier, attributes = attribute_classifier.card, None
        if (probabilities := found.probabilities.get("attributes")) is not None and classifier.report is not None:
            quality = {name: classifier.report.attributes[name] for name in classifier.attributes}
            condition = networks.generator.card.condition
            requested = condition.names if condition else ()
            attributes = describe_attributes(quality, *probabilities, found.labels, requested)
        return found.evaluation.model_copy(update={"attributes": attributes}), found

    if compared_model is not None:
        check_compared(compared_model, model.size)
    evaluation, result = measure(networks)
    protocol = evaluation.protocol.model_copy(
        update={"model": settings.model, "checkpoint": "best" if measured_best else "last"}
    )
    evaluation = evaluation.model_copy(update={"protocol": protocol})
    if compared_model is not None:
        label = compared_model.label
        logger.info("Measuring %s in the same way", label)
        other, _ = measure(compared_model.networks())
        comparison = compare_models(settings.model or "this model", evaluation, label, other)
        evaluation = evaluation.model_copy(update={"comparison": comparison})
    ranks.announce("")
    found = result.neighbours
    return (
        evaluation,
        draw_beside_reals(result.samples, result.reals, protocol.images),
        draw_neighbours((found.samples, found.neighbours, found.names), protocol.images, name_search(protocol)),
    )


def follow_evaluation(packed_images: PackedImages, labels: Any, classes: Any, settings: EvaluateSettings) -> None:
    """Computes this rank's share of the features; rank 0 has the networks, and measures."""
    from celeba_gan.evaluation.image_sets import follow
    from celeba_gan.gan.runs.snapshot import networks_from_leader
    from celeba_gan.gan.runtime.hardware import find_device, use_all_cores

    use_all_cores()
    device, ranks = find_device("auto"), current()
    extractors = {one.name: one for one in _extractors(settings, device, None)}
    while ranks.announced():
        networks = networks_from_leader(ranks)
        network = networks.generator.card.network  # of a new discriminator, which rank 0 trains
        models, reals = _bind(networks, network, packed_images, labels, classes, settings.seed, device)
        follow(ranks, models, reals, extractors)


def report_evaluation(
    evaluation: Evaluation, measured_grid: ImageGrid, neighbour_grid: ImageGrid, metric_rows: Any, training_run: Run
) -> tuple[Any, str]:
    """Draws the chart of attributes, and writes the page that shows everything: a plotly figure and HTML."""
    from celeba_gan.reporting.evaluation.charts import plot_attribute_shares
    from celeba_gan.reporting.evaluation.glossary import name_search
    from celeba_gan.reporting.evaluation.page import render_report
    from celeba_gan.reporting.training.curves import plot_curves

    chart, protocol = plot_attribute_shares(evaluation.attributes), evaluation.protocol
    # The rows are those of the experiment's own training, and not of a model from elsewhere.
    own = protocol.model is None and len(metric_rows)
    page = render_report(
        evaluation,
        title=f"{protocol.model or training_run.folder.name} after {protocol.images / 1000:,.4g} thousand images",
        curves=plot_curves(metric_rows) if own else None,
        attribute_chart=chart if evaluation.attributes else None,
        pictures={
            "Samples, and real images of the test split, unseen in training": measured_grid.pixels,
            f"Samples and the training images nearest to them, mirrored where that is nearer, found by "
            f"{name_search(protocol)}. The first samples, then, of all that were searched, the closest to a training "
            "image: if there are copies, they are there.": neighbour_grid.pixels,
        },
    )
    return chart, page


def no_classifier(names: list[str], splits: Mapping[str, tuple[int, int]]) -> str | None:
    """Why these images get no attribute classifier; None if they get one."""
    from celeba_gan.evaluation.features.classifier import LEAST_IMAGES

    counts = {split: stop - start for split, (start, stop) in splits.items()}
    if not names:
        return "have no attributes"
    few = counts["train"] < LEAST_IMAGES or counts["valid"] < 2
    return f"are too few ({counts['train']} for training)" if few else None


def file_extractors(settings: EvaluateSettings, device: str) -> "list[Extractor]":
    """The feature extractors that are files: Inception's weights and the user's ONNX file, where there are any.

    Raises:
        InceptionError, FeatureFileError: A requested file is missing, or is not what it should be.
    """
    from celeba_gan.evaluation.features.file import FeatureFile
    from celeba_gan.evaluation.features.inception import InceptionFeatures, find_weights

    found: list[Any] = []
    if (weights := find_weights(settings.inception_weights)) is not None:
        found.append(InceptionFeatures(weights, device))
    if settings.features.path is not None:
        found.append(FeatureFile(settings.features, device))
    return found


def _extractors(
    settings: EvaluateSettings, device: str, classifier: Checkpoint[ClassifierCard] | None
) -> "list[Extractor]":
    """The attribute classifier, where there is one, and those that are files: the same on all ranks.

    Raises:
        RanksError: A host has other files than rank 0's.
    """
    from celeba_gan.evaluation.features.classifier import AttributeClassifier

    ranks = current()
    extractors = file_extractors(settings, device)
    ranks.check_same({one.name: one.digest for one in extractors}, "All hosts need the same files for features")
    known = ranks.from_leader(list(classifier.card.attributes) if classifier else None)
    if known:
        tensors = ranks.tensors_from_leader(classifier.tensors if classifier else {})
        extractors.insert(0, AttributeClassifier(known, tensors, device))
    return extractors


def check_compared(model: NamedModel, size: int) -> None:
    """Raises EvaluationError if a model makes images of another size, in pixels, than the measured one."""
    from celeba_gan.evaluation.evaluate import EvaluationError

    if model.card.size != size:
        raise EvaluationError(
            f"evaluate.compare_with: {model.label} makes images of {model.card.size} pixels, the measured model "
            f"{size}. Only models of one size can be compared"
        )


def _bind(
    networks: Networks,
    network: "NetworkSettings",
    packed_images: PackedImages,
    labels: Any,
    classes: Any,
    seed: int,
    device: str,
) -> "tuple[Models, Reals]":
    """Networks and packed images as functions, which evaluation reads."""
    import torch

    from celeba_gan.evaluation.image_sets import Discriminator, Models, Reals
    from celeba_gan.gan.inputs.conditions import Conditions
    from celeba_gan.gan.networks.build import build_discriminator
    from celeba_gan.gan.sampling.trained import TrainedDiscriminator, TrainedGenerator
    from celeba_gan.images.labels import check_labels, labels_as_named

    generator, discriminator, card = networks.generator, networks.discriminator, networks.generator.card

    def new_discriminator() -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_discriminator(network, card.size).to(device)

    trained = None
    if discriminator is not None:
        scores, of = TrainedDiscriminator(discriminator, device).scores, discriminator.card
        trained = Discriminator(scores, of.probability, of.id, of.images)
    conditions = Conditions.none()
    if (condition := card.condition) is not None:
        check_labels(labels, packed_images.manifest)
        values = labels_as_named(labels, classes, condition.kind, condition.names)
        conditions = Conditions(condition.kind, condition.names, values)
    norm = ", spectral norm" if network.spectral_norm else ""
    models = Models(
        sample=TrainedGenerator(generator, device).batches,
        training_id=card.id,
        images=card.images,
        finished=card.finished,
        size=card.size,
        data_digest=card.data_digest,
        discriminator=trained,
        new_discriminator=new_discriminator,
        random_crop=card.random_crop,
        new_network=f"{network.name} {network.family.model_dump_json()}{norm}",
    )
    manifest = packed_images.manifest
    recipe = manifest.model_dump(mode="json")["recipe"]
    return models, Reals(
        packed_images.gather,
        conditions.of,
        manifest.splits,
        packed_images.size,
        packed_images.digest,
        recipe,
        ranks=current(),
    )
