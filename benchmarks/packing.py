"""Packing, reading back and indexing, against one core's plain loop and against torchvision's ImageFolder.

Drawn portraits are repeated under new names, in CelebA's official layout: one zip with JPEGs of 178x218, and the text
files. Each copy has other pixels, so that none is left out as a duplicate. Every measurement is made in a fresh
process, by turns, so that the ratios hold while the machine's speed drifts; figures are medians over rounds. The page
cache is warm. With --scale, memory and times are also taken at 10,000, 50,000 and 202,599 images: it takes some
minutes and 5 GB of disk.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

SIZE, CROP = 64, 178
OFFICIAL = 202_599
SCALE = (10_000, 50_000, OFFICIAL)
SHARES = (162_770 / OFFICIAL, 182_637 / OFFICIAL)  # where CelebA's train and valid end

Result = dict[str, float]


def write_source(folder: Path, images: int) -> None:
    """CelebA's files, with so many images."""
    from celeba_gan.portraits.synthetic import SyntheticCelebA
    from celeba_gan.sources.celeba import IMAGES_FOLDER, CelebA
    from celeba_gan.sources.official import IMAGES_ZIP
    from celeba_gan.sources.tables.celeba_tables import ATTRIBUTES_FILE, IDENTITIES_FILE, PARTITION_FILE

    drawn = folder.parent / "portraits"
    began = time.perf_counter()
    if SyntheticCelebA().ensure(drawn):
        print(f"drawing {SyntheticCelebA().images:,} portraits: {time.perf_counter() - began:.1f} s", flush=True)
    folder.mkdir()
    source = CelebA(drawn)
    jpegs = [source.read(name) for name in source.image_names]
    with zipfile.ZipFile(folder / IMAGES_ZIP, "w", zipfile.ZIP_STORED) as archive:
        for number in range(images):
            copy, place = divmod(number, len(jpegs))
            archive.writestr(f"{IMAGES_FOLDER}/{number + 1:06d}.jpg", vary(jpegs[place], copy))
    for file, header in ((ATTRIBUTES_FILE, 2), (IDENTITIES_FILE, 0), (PARTITION_FILE, 0)):
        lines = (drawn / file).read_text().splitlines()
        rows = [line.partition(" ")[2] for line in lines[header:]]
        if file == PARTITION_FILE:
            rows = [str(sum(number >= share * images for share in SHARES)) for number in range(images)]
        with (folder / file).open("w", newline="\r\n") as text:
            if header:
                text.write(f"{images}\n{lines[1]}\n")
            text.writelines(f"{number + 1:06d}.jpg {rows[number % len(rows)]}\n" for number in range(images))


def vary(jpeg: bytes, copy: int) -> bytes:
    """The JPEG with its three lowest frequencies quantised in one of 64 ways."""
    table = jpeg.index(b"\xff\xdb") + 5
    steps = bytes(jpeg[table + place] + copy // 4**place % 4 for place in range(3))
    return jpeg[:table] + steps + jpeg[table + 3 :]


def index_source(folder: Path) -> Result:
    """Build the index and keep it; no pixel is decoded."""
    from celeba_gan.sources.celeba import CelebA
    from celeba_gan.sources.config import IngestSettings
    from celeba_gan.sources.index import build_index

    began, cpu = time.perf_counter(), time.process_time()
    index = build_index(CelebA(folder), IngestSettings())
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    index.images.to_parquet(folder / "index.parquet")
    return {"images": len(index.images), "seconds": seconds, "cpu": cpu}


def loop_on_one_core(folder: Path) -> Result:
    """Decode, crop and resize with Pillow from bytes in memory: what a core could do if there were nothing else."""
    from PIL import Image

    from celeba_gan.sources.celeba import CelebA

    source = CelebA(folder)
    names = source.image_names
    data = [source.read(name) for name in names[:: max(1, len(names) // 2000)]]
    began, cpu = time.perf_counter(), time.process_time()
    for jpeg in data:
        with Image.open(io.BytesIO(jpeg)) as photograph:
            left, top = (photograph.width - CROP) // 2, (photograph.height - CROP) // 2
            square = photograph.crop((left, top, left + CROP, top + CROP))
        square.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"rate": len(data) / seconds, "cpu_us": cpu / len(data) * 1e6}


def pack(folder: Path) -> Result:
    """What the node `pack_images` and its dataset do: workers' start, reading, hashing, decoding, writing, fsync."""
    import pandas as pd

    from celeba_gan.datasets.packed_images import PackedImagesDataset
    from celeba_gan.images.config import PreprocessSettings
    from celeba_gan.images.packing import pack_images
    from celeba_gan.sources.celeba import CelebA

    index = pd.read_parquet(folder / "index.parquet")
    target = folder / "packed"
    shutil.rmtree(target, ignore_errors=True)
    dataset = PackedImagesDataset(str(target))
    settings = PreprocessSettings(size=SIZE, crop=CROP, filter="bilinear")
    began, cpu = time.perf_counter(), time.process_time()
    for part in pack_images(CelebA(folder), index, settings, None):
        dataset.save(part)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    workers = os.times()
    assert "torch" not in sys.modules
    return {
        "rate": len(index) / seconds,
        "seconds": seconds,
        "parent_us": cpu / len(index) * 1e6,
        "workers_us": (workers.children_user + workers.children_system) / len(index) * 1e6,
    }


def proportional_memory(process: "subprocess.Popen[str]", every: float, peak: Result) -> None:
    """Keep the largest PSS, in MiB, of a process and all its descendants together; ends with the process."""
    while process.poll() is None:
        total = 0
        try:
            parent = psutil.Process(process.pid)
            for member in [parent, *parent.children(recursive=True)]:
                total += member.memory_full_info().pss
        except psutil.Error:  # one has just ended
            continue
        peak["pss_mib"] = max(peak.get("pss_mib", 0), total / 2**20)
        time.sleep(every)


def in_a_process(measure: str, folder: Path, script: Path = Path(__file__)) -> Result:
    """The result of a measurement made in a fresh process, and the peak of its memory."""
    process = subprocess.Popen(
        [sys.executable, str(script), "--measure", measure, "--folder", str(folder)], stdout=subprocess.PIPE, text=True
    )
    result: Result = {}
    watch = threading.Thread(target=proportional_memory, args=(process, 0.25, result))
    watch.start()
    output, _ = process.communicate()
    watch.join()
    if process.returncode:
        raise SystemExit(f"The measurement {measure} failed")
    result.update(json.loads(output.splitlines()[-1]))
    return result


def cores() -> int:
    from celeba_gan.foundation.cores import available_cores

    return available_cores()


def compare(folder: Path, images: int, rounds: int) -> list[str]:
    """Rows of the table: packing and reading against the plain loop and the DataLoader."""
    reading = Path(__file__).with_name("reading.py")
    source = folder / f"celeba-{images}"
    write_source(source, images)
    in_a_process("index", source)
    in_a_process("unpack", source, reading)
    results: dict[str, list[Result]] = {name: [] for name in ("loop", "pack", "loader", "shards")}
    for turn in range(rounds):
        for name, taken in results.items():
            taken.append(in_a_process(name, source, reading if name in ("loader", "shards") else Path(__file__)))
        print(f"round {turn + 1}: " + ", ".join(f"{name} {taken[-1]['rate']:.0f}" for name, taken in results.items()))
    shutil.rmtree(source)

    def median(of: Callable[[int], float]) -> float:
        return statistics.median(of(turn) for turn in range(rounds))

    loop, packed, loader, shards = ([result["rate"] for result in taken] for taken in results.values())
    needed = [result["cpu_us"] for result in results["loop"]]
    parent, workers = ([result[part] for result in results["pack"]] for part in ("parent_us", "workers_us"))
    return [
        f"| one core, decode + crop + resize | {median(lambda turn: loop[turn]):,.0f} images/s | |",
        f"| packing {images:,} images, {cores()} cores | {median(lambda turn: packed[turn]):,.0f} images/s | |",
        f"| its CPU time for an image | {median(lambda turn: workers[turn]):.0f} us in workers, "
        f"{median(lambda turn: parent[turn]):.0f} us in their parent | |",
        f"| the loop's CPU time for an image | {median(lambda turn: needed[turn]):.0f} us, of packing's "
        f"{median(lambda turn: needed[turn] / (workers[turn] + parent[turn])):.2f} | |",
        f"| ImageFolder + DataLoader, {cores()} workers | {median(lambda turn: loader[turn]):,.0f} images/s | |",
        f"| shards, random batches of 64 as floats | {median(lambda turn: shards[turn]):,.0f} images/s | |",
        f"| packing / (one core x cores) | {median(lambda turn: packed[turn] / loop[turn] / cores()):.2f} | >= 0.85 |",
        f"| packing / DataLoader | {median(lambda turn: packed[turn] / loader[turn]):.2f} | >= 1.4 |",
        f"| shards / DataLoader | {median(lambda turn: shards[turn] / loader[turn]):.1f} | >= 20 |",
    ]


def scale(folder: Path) -> list[str]:
    """Rows of the table: how memory and time grow."""
    rows = []
    for images in SCALE:
        source = folder / f"celeba-{images}"
        write_source(source, images)
        indexed = in_a_process("index", source)
        loop = in_a_process("loop", source)["rate"]
        packed = in_a_process("pack", source)
        shutil.rmtree(source)
        target = "< 15 s" if images == OFFICIAL else ""
        rows += [
            f"| indexing {images:,} images | {indexed['seconds']:.1f} s ({indexed['cpu']:.1f} s of CPU), "
            f"PSS {indexed['pss_mib']:.0f} MiB | {target} |",
            f"| packing {images:,} images | {packed['seconds']:.1f} s, {packed['rate']:,.0f} images/s, "
            f"{packed['rate'] / loop / cores():.2f} of (one core x cores) | >= 0.85 |",
            f"| its memory, all processes | PSS {packed['pss_mib']:.0f} MiB | < 500 MiB, flat |",
        ]
        print("\n".join(rows[-3:]), flush=True)
    return rows


MEASURES = {"index": index_source, "loop": loop_on_one_core, "pack": pack}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", action="store_true", help="also take memory and times at up to 202,599 images")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(MEASURES[arguments.measure](arguments.folder)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        rows = compare(Path(folder), arguments.images, arguments.rounds)
        rows += scale(Path(folder)) if arguments.scale else []
    from machine import describe, matrix_product_ms  # only now: torch would count as memory of the packing

    versions: list[Any] = [f"{name} {__import__(name).__version__}" for name in ("PIL", "numpy", "torchvision")]
    print(f"{describe()}, {', '.join(versions)}; 1024^3 float32 product {matrix_product_ms():.1f} ms")
    print(f"{SIZE}x{SIZE} from a crop of {CROP}, bilinear; medians of {arguments.rounds} rounds")
    print("\n".join(["| | measured | target |", "|---|---|---|", *rows]))


if __name__ == "__main__":
    main()
