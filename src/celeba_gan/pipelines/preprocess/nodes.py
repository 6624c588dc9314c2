"""Nodes of the preprocess stage; `Any` stands for a DataFrame, since pandas is not imported with the registry."""

from collections.abc import Iterator
from typing import Any

from celeba_gan.celeba.config import IngestSettings
from celeba_gan.celeba.source import CelebA
from celeba_gan.imaging.config import PreprocessSettings
from celeba_gan.imaging.packed import Manifest, PackedImages, Shard


def pack_images(
    celeba: CelebA,
    image_index: Any,
    rejected_images: Any,
    settings: PreprocessSettings,
    ingest: IngestSettings,
    packed_before: PackedImages | None,
) -> Iterator[Shard | Manifest]:
    """Decode, crop and resize the indexed images; yields shards and, last, the manifest. Kedro saves each at once.

    Rejected and unreadable images together may not exceed `ingest.max_rejected_fraction`.
    """
    from rich import get_console
    from rich.progress import Progress

    from celeba_gan.celeba.index import check_rejected
    from celeba_gan.imaging import packing

    rejected = list(rejected_images.itertuples(index=False, name=None))
    found = len(image_index) + len(rejected)
    with Progress(console=get_console(), transient=True) as bar:
        task = bar.add_task("Packing images")
        yield from packing.pack_images(
            celeba,
            image_index,
            settings,
            packed_before,
            check=lambda unreadable: check_rejected(
                rejected + [(record.image_id, record.reason) for record in unreadable],
                found,
                ingest.max_rejected_fraction,
            ),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def label_images(packed_images: PackedImages, image_index: Any, settings: PreprocessSettings) -> tuple[Any, Any]:
    """Give every packed image its split, attributes and class, and list the images that could not be packed.

    Returns:
        Two DataFrames, `labels` (see `celeba_gan.imaging.labels.label_images`) and `unreadable_images` (image_id,
        reason).
    """
    import pandas as pd

    from celeba_gan.imaging import labels

    manifest = packed_images.manifest
    unreadable = [(record.image_id, record.reason) for record in manifest.unreadable]
    return (
        labels.label_images(manifest, image_index, settings.condition_on),
        pd.DataFrame(unreadable, columns=["image_id", "reason"], dtype="str"),
    )
