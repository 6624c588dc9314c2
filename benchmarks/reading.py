"""Measurements for `packing.py` that need torch: the same images through ImageFolder, and back from shards."""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from celeba_gan.foundation.cores import available_cores
from celeba_gan.foundation.pixels import from_uint8
from celeba_gan.images.packed import PackedImages
from celeba_gan.sources.celeba import CelebA

SIZE, CROP, BATCH = 64, 178, 64

Result = dict[str, float]


def unpack(folder: Path) -> Result:
    """The images as files, as ImageFolder wants them."""
    source = CelebA(folder)
    target = folder / "unpacked" / "all"
    target.mkdir(parents=True)
    for name in source.image_names:
        (target / name).write_bytes(source.read(name))
    return {"images": len(source.image_names)}


def read_files(folder: Path) -> Result:
    """An epoch of torchvision's usual pipeline in random order, counted from the first batch on."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

    images = ImageFolder(
        str(folder / "unpacked"), Compose([CenterCrop(CROP), Resize(SIZE, antialias=True), ToTensor()])
    )
    batches = iter(DataLoader(images, BATCH, shuffle=True, num_workers=available_cores()))
    first, _ = next(batches)
    assert first.shape == (BATCH, 3, SIZE, SIZE)
    began, count = time.perf_counter(), 0
    for batch, _ in batches:
        count += len(batch)
    return {"rate": count / (time.perf_counter() - began)}


def read_shards(folder: Path) -> Result:
    """Epochs of shards in random order, scaled as in training: the median, without the first, which maps the pages."""
    images = PackedImages(folder / "packed")
    rates = []
    for turn in range(6):
        order = np.random.default_rng(turn).permutation(len(images))
        began = time.perf_counter()
        for start in range(0, len(order), BATCH):
            from_uint8(torch.from_numpy(images.gather(order[start : start + BATCH])))
        rates.append(len(order) / (time.perf_counter() - began))
    return {"rate": statistics.median(rates[1:])}


MEASURES = {"unpack": unpack, "loader": read_files, "shards": read_shards}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", choices=MEASURES, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    print(json.dumps(MEASURES[arguments.measure](arguments.folder)))


if __name__ == "__main__":
    main()
