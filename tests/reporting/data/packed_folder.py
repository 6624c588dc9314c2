"""Packed images without the packing."""

from pathlib import Path

import numpy as np

from celeba_gan.images.packed import Manifest, PackedImages, Recipe, ShardRecord


def pack(folder: Path, images: np.ndarray, shard: int, train: tuple[int, int]) -> PackedImages:
    """Packed images as they lie on disk."""
    size = images.shape[1]
    shards = []
    for number, start in enumerate(range(0, len(images), shard)):
        part = images[start : start + shard]
        shards.append(ShardRecord(file=f"shard-{number:05d}.npy", images=len(part), sha256=""))
        np.save(folder / shards[-1].file, part)
    manifest = Manifest(
        count=len(images),
        size=size,
        recipe=Recipe(crop=16, size=size, filter="box", background="white", decoder=1, pillow="12"),
        shard_images=shard,
        source_digest="",
        images_digest="",
        splits={"train": train, "valid": (train[1], len(images)), "test": (len(images), len(images))},
        shards=shards,
        unreadable=[],
        leaks=[],
        duplicates=[],
        digest="",
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return PackedImages(folder)
