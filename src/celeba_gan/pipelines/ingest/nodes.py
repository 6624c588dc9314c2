"""Nodes of the ingest stage."""

import logging
from typing import Any

from celeba_gan.sources.config import IngestSettings
from celeba_gan.sources.source import Source
from celeba_gan.sources.source_report import SourceReport

logger = logging.getLogger(__name__)


def index_images(celeba: Source, settings: IngestSettings, bar: bool = True) -> tuple[Any, Any, SourceReport]:
    """Lists the usable images of the source with their sizes, splits and annotations, and the rejected ones.

    Returns:
        Two DataFrames, `image_index` and `rejected_images`, and the `source_report`; see `Index`.
    """
    from celeba_gan.reporting.bars import StepsProgress
    from celeba_gan.sources.index import build_index

    logger.info("%s", celeba.describe())
    with StepsProgress(bar=bar) as shown:
        return build_index(celeba, settings, lambda done, total: shown.show("Reading image headers", done, total))
