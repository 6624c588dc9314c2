"""Packing by one of several ranks: `python rank_packing.py PHOTOGRAPHS PACKED SHARD_IMAGES`, for each."""

import sys
from itertools import islice
from pathlib import Path

import pandas as pd
from photograph_folder import PhotographFolder

from celeba_gan.datasets.packed_images import PackedImagesDataset
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.packing import follow_packing, pack_images
from celeba_gan.ranks.group import ALONE, Ranks, join


def pack(photographs: Path, packed: Path, shard_images: int, ranks: Ranks = ALONE, most: int | None = None) -> int:
    """Returns how many shards this rank has written; `most`: it is interrupted after so many."""
    source, index = PhotographFolder(photographs), pd.read_parquet(photographs / "index.parquet")
    settings = PreprocessSettings(size=16, shard_images=shard_images, workers=1)
    dataset, count = PackedImagesDataset(str(packed), missing_ok=True), 0
    if ranks.leads:
        parts = pack_images(source, index, settings, dataset.load(), ranks=ranks)
    else:
        parts = follow_packing(source, index, settings, ranks)
    for part in islice(parts, most):
        dataset.save(part)
        count += 1
    ranks.announce("")
    return count - ranks.leads  # the manifest


if __name__ == "__main__":
    photographs, packed, shard_images = sys.argv[1:]
    ranks = join()
    print(pack(Path(photographs), Path(packed), int(shard_images), ranks))
    ranks.finish()
