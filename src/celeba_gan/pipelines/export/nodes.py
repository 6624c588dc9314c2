"""The node of the export."""

import logging
from typing import TYPE_CHECKING, Any

from celeba_gan.evaluation.documents import Evaluation
from celeba_gan.exporting.config import ExportSettings
from celeba_gan.exporting.web_runtime import WebRuntime
from celeba_gan.gan.runs.run import Run
from celeba_gan.images.journal import UnfinishedPacking
from celeba_gan.images.packed import PackedImages
from celeba_gan.sources.source_report import SourceReport

if TYPE_CHECKING:
    from celeba_gan.gan.sampling.trained import TrainedGenerator

logger = logging.getLogger(__name__)


def export_generator(
    training_run: Run,
    evaluation_previous: Evaluation | None,
    packed_images_previous: PackedImages | UnfinishedPacking | None,
    source_report_previous: SourceReport | None,
    web_runtime: WebRuntime,
    settings: ExportSettings,
) -> Any:
    """Makes a folder with the generator as programs, its model card, samples, and a page that generates."""
    from celeba_gan.exporting.folder import export_folder
    from celeba_gan.exporting.subject import Subject, describe, find_data
    from celeba_gan.reporting.bars import StepsProgress

    network = training_run.networks(settings.checkpoint).generator
    if not network.card.finished:
        logger.warning("Exporting a generator in training, after %d images", network.card.images)
    packed = packed_images_previous if isinstance(packed_images_previous, PackedImages) else None
    data = find_data(network.card, packed, source_report_previous)

    def described(trained: "TrainedGenerator") -> Subject:
        return describe(
            training_run.folder.name,
            trained,
            settings.checkpoint,
            run=training_run.card(),
            data=data,
            evaluation=evaluation_previous,
        )

    with StepsProgress() as bar:
        return export_folder(network, settings, web_runtime, described, bar.show)
