"""A program that packs a folder as the pipeline does, to be started and killed by tests.

Arguments: folder of photographs, folder of packed images, workers, seconds that reading a photograph takes, shard
before which the disk becomes full (-1: never). Prints a line when it begins and after each save.
"""

import logging
import resource
import sys
from pathlib import Path

from photograph_folder import PhotographFolder, index_of

from celeba_gan.datasets.packed_images import PackedImagesDataset
from celeba_gan.images.config import PreprocessSettings
from celeba_gan.images.packing import pack_images

if __name__ == "__main__":
    source, target, workers, seconds, full_at = sys.argv[1:]
    logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s", force=True)
    settings = PreprocessSettings(size=16, shard_images=20, workers=int(workers))
    before = PackedImagesDataset(target, missing_ok=True).load()
    dataset = PackedImagesDataset(target)
    print("begun", flush=True)
    photographs = PhotographFolder(Path(source), seconds=float(seconds))
    for part in pack_images(photographs, index_of(Path(source)), settings, before):
        if getattr(part, "index", None) == int(full_at):
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        dataset.save(part)
        print("saved", flush=True)
