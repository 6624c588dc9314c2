"""Nodes that find out how to steer a generator: directions, and photographs projected into its latent space."""

import logging
from typing import TYPE_CHECKING

from celeba_gan.evaluation.features.card import ClassifierCard
from celeba_gan.foundation.wording import counted, stage_command
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.sampling.config import GenerateSettings
from celeba_gan.gan.sampling.control_documents import Directions, ProjectedPhotograph, Projections
from celeba_gan.images.journal import UnfinishedPacking
from celeba_gan.images.packed import PackedImages
from celeba_gan.images.photographs import PhotographError
from celeba_gan.reporting.grids import ImageGrid

if TYPE_CHECKING:  # of functions that are not nodes: Kedro reads the annotations of nodes
    import numpy as np
    from numpy.typing import NDArray

    from celeba_gan.evaluation.features.classifier import AttributeClassifier
    from celeba_gan.gan.sampling.directions import Classifier
    from celeba_gan.gan.sampling.trained import TrainedGenerator
    from celeba_gan.images.packed import Recipe

logger = logging.getLogger(__name__)


def find_directions(
    training_run: Run, attribute_classifier: Checkpoint[ClassifierCard] | None, settings: GenerateSettings
) -> tuple[Directions, ImageGrid]:
    """Finds directions in the latent space, and draws a face moved along them.

    Without an attribute classifier, which evaluate makes, there are those in closed form alone.
    """
    from celeba_gan.gan.runtime.hardware import find_device, use_all_cores
    from celeba_gan.gan.sampling.directions import find_directions as find
    from celeba_gan.gan.sampling.trained import TrainedGenerator
    from celeba_gan.reporting.bars import StepsProgress

    use_all_cores()
    generator = TrainedGenerator(training_run.networks(settings.checkpoint).generator, find_device("auto"))
    network = _load_classifier(attribute_classifier, generator.card.data_digest, generator.device)
    classifier = None if network is None or attribute_classifier is None else _bind(network, attribute_classifier.card)
    with StepsProgress() as shown:
        found = find(generator, settings.directions, settings.seed, settings.labels, classifier, shown.show)
    if "closed_form" in found.without:
        logger.warning("No directions in closed form: %s", found.without["closed_form"])
    return found, _draw_moves(found, generator, settings)


def project_photographs(
    training_run: Run,
    attribute_classifier: Checkpoint[ClassifierCard] | None,
    packed_images_previous: PackedImages | UnfinishedPacking | None,
    projections_previous: Projections | None,
    projection_grid_previous: ImageGrid,
    settings: GenerateSettings,
) -> tuple[Projections, ImageGrid]:
    """Projects the photographs of `generate.project` into the latent space.

    Without any, the results are those of an earlier run if they are of the same weights, and empty otherwise.

    They are cropped and resized as the packed images were. Distances in features are those of the attribute classifier,
    where there is one.
    """
    import numpy as np

    from celeba_gan.gan.runtime.hardware import find_device, use_all_cores
    from celeba_gan.gan.sampling.projection import project
    from celeba_gan.gan.sampling.trained import TrainedGenerator
    from celeba_gan.images.photographs import find_photographs, read_photographs
    from celeba_gan.reporting.bars import StepsProgress
    from celeba_gan.reporting.generation.projections import draw_projections

    network = training_run.networks(settings.checkpoint).generator
    files = find_photographs(settings.project, "generate.project")
    found = Projections(
        training_id=network.card.id,
        images=network.card.images,
        seed=settings.seed,
        steps=settings.projection.steps,
        photographs=(),
    )
    if not files:
        return _keep(projections_previous, projection_grid_previous, found)
    use_all_cores()
    generator = TrainedGenerator(network, find_device("auto"))
    recipe = recipe_of_photographs(packed_images_previous)
    photographs = _centre(read_photographs(files, recipe), network.card.size, network.card.random_crop)
    classifier = _load_classifier(attribute_classifier, network.card.data_digest, generator.device)
    features = None if classifier is None else lambda images: classifier.network(images)[0]
    logger.info("Projecting %s", counted(len(files), "photograph"))
    with StepsProgress() as bar:
        results = project(
            generator, photographs, settings.projection, settings.seed, features, settings.labels, bar.show
        )
    projected = tuple(
        ProjectedPhotograph(
            name=str(file),
            latent=tuple(one.latent.tolist()),
            labels=tuple(one.labels.tolist()),
            error=one.error,
            best_random=one.best_random,
            mean_sample=one.mean_sample,
        )
        for file, one in zip(files, results, strict=True)
    )
    found = found.model_copy(update={"photographs": projected})
    return found, draw_projections(found, photographs, np.stack([one.image for one in results]))


def _keep(before: Projections | None, grid: ImageGrid, nothing: Projections) -> tuple[Projections, ImageGrid]:
    """The projections of an earlier run, unless they are of other weights; the image counts of `nothing` are now's."""
    if before is not None and before.photographs:
        photographs = counted(len(before.photographs), "photograph")
        if (before.training_id, before.images) == (nothing.training_id, nothing.images):
            logger.info("Keeping the projections of %s, which an earlier run has made", photographs)
            return before, grid
        logger.warning(
            "Removing the projections of %s: they are of another training, or of another tick. "
            "Name the photographs in generate.project to project them again",
            photographs,
        )
    return nothing, ImageGrid.nothing(nothing.images)


def _load_classifier(
    checkpoint: Checkpoint[ClassifierCard] | None, data_digest: str, device: str
) -> "AttributeClassifier | None":
    """Builds the attribute classifier; logs why and returns None if there is none."""
    from celeba_gan.evaluation.features.classifier import AttributeClassifier

    if checkpoint is None:
        logger.info(
            "There is no attribute classifier of these images, so directions are those in closed form alone, and "
            "projections compare pixels alone. For directions of attributes make it with %s, then repeat this command",
            stage_command("evaluate"),
        )
        return None
    if not checkpoint.card.attributes:
        logger.info("These images have no attributes, or are too few for a classifier: no directions of attributes")
        return None
    if checkpoint.card.made_from.get("data_digest") != data_digest:
        logger.warning(
            "The attribute classifier was trained on other images than the generator, and may misjudge its samples. "
            "Give the dataset of the generator with --params dataset=NAME"
        )
    return AttributeClassifier(list(checkpoint.card.attributes), checkpoint.tensors, device)


def _bind(network: "AttributeClassifier", card: ClassifierCard) -> "Classifier":
    """The classifier as gan takes it, which knows nothing of evaluation."""
    from celeba_gan.gan.sampling.directions import Classifier

    quality = {} if card.report is None else {name: one.auc for name, one in card.report.attributes.items()}
    return Classifier(network.attributes, lambda images: network.describe(images)[1], network.digest, quality)


def _draw_moves(found: Directions, generator: "TrainedGenerator", settings: GenerateSettings) -> ImageGrid:
    """The picture of one face moved along the directions: that of the first latent drawn."""
    import numpy as np

    from celeba_gan.gan.sampling.directions import moved
    from celeba_gan.reporting.generation.directions import draw_directions

    shown = [*found.of_kind("attribute")[: settings.directions.rows], *found.of_kind("closed_form")]
    columns = settings.directions.columns
    shares = np.linspace(-1, 1, columns)
    latents, labels = generator.draw(1, settings.seed, settings.labels)
    tiles = [
        generator.images(moved(latents, direction, (found.step * shares).tolist())[0], labels.expand(columns, -1))
        for direction in shown
    ]
    size = generator.card.size
    stacked = np.stack(tiles) if tiles else np.zeros((0, columns, size, size, 3), np.uint8)
    return draw_directions(found, shown, (found.strength * shares).tolist(), stacked)


def recipe_of_photographs(packed: PackedImages | UnfinishedPacking | None) -> "Recipe":
    """How photographs are cropped and resized: as the packed images.

    Raises:
        PhotographError: There are none.
    """
    if not isinstance(packed, PackedImages):
        raise PhotographError(
            "generate.project: photographs are cropped and resized as the packed images were, and there are none. Make "
            f"them with {stage_command('preprocess')}"
        )
    return packed.manifest.recipe


def _centre(photographs: "NDArray[np.uint8]", size: int, random_crop: int | None) -> "NDArray[np.uint8]":
    """The centre, as large as the images of a generator that was trained on random crops; else the whole image."""
    first = (photographs.shape[1] - size) // 2
    if first < 0 or (first > 0 and random_crop is None):
        raise PhotographError(
            f"generate.project: the packed images have {photographs.shape[1]} pixels a side, the generator's {size}. "
            "Give the dataset that it was trained on with --params dataset=NAME"
        )
    return photographs[:, first : first + size, first : first + size]
