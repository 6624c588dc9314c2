"""Packing, reading back and indexing, against plain loops side by side and against torchvision's ImageFolder.

The yardstick is what plain loops reach that decode, crop and resize the same files from bytes in memory, one process
for each core, all at once: two busy cores share caches and memory, so that twice one loop alone is more than there is.

Drawn portraits are repeated under new names, in CelebA's official layout: one zip with JPEGs of 178x218, and the text
files. Each copy has other pixels, so that none is left out as a duplicate. Every measurement is made in a fresh
process, by turns, so that the ratios hold while the machine's speed drifts; figures are medians over rounds. The page
cache is warm. With --whole, `kedro run --pipelines ingest,preprocess` is timed, too, from typing to end, of the zip
and of the same images as files in a folder. With --before, another checkout of this repository packs in turn. With
--scale, memory and times are also taken at 10,000, 50,000 and 202,599 images: it takes some minutes and 5 GB of disk.

    python benchmarks/packing.py --images 62467 --whole --before CHECKOUT
"""

import argparse
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
from PIL import Image

PROJECT = Path(__file__).parents[1]
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


def plain_loop(folder: Path) -> Result:
    """Decode, crop and resize with Pillow from bytes in memory: what a core could do if there were nothing else.

    It begins when a line arrives on stdin, so that several can begin at once.
    """
    from celeba_gan.sources.celeba import CelebA

    source = CelebA(folder)
    names = source.image_names
    data = [source.read(name) for name in names[:: max(1, len(names) // 4000)]]
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu = time.perf_counter(), time.process_time()
    for jpeg in data * 2:
        plain(jpeg)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"rate": 2 * len(data) / seconds, "cpu_us": cpu / (2 * len(data)) * 1e6}


def plain(jpeg: bytes) -> Image.Image:
    """A photograph, decoded, cropped and resized with nothing but Pillow."""
    with Image.open(io.BytesIO(jpeg)) as photograph:
        left, top = (photograph.width - CROP) // 2, (photograph.height - CROP) // 2
        square = photograph.crop((left, top, left + CROP, top + CROP))
    return square.resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def side_by_side(folder: Path) -> Result:
    """A plain loop for each core, all at once: their rates together, and the mean of their CPU time for an image."""
    command = [sys.executable, __file__, "--measure", "loop", "--folder", str(folder)]
    loops = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(cores())
    ]
    for loop in loops:
        assert loop.stdout is not None
        loop.stdout.readline()
    for loop in loops:
        assert loop.stdin is not None
        loop.stdin.write("\n")
        loop.stdin.flush()
    results = [json.loads(loop.communicate()[0]) for loop in loops]
    return {
        "rate": sum(result["rate"] for result in results),
        "cpu_us": statistics.mean(result["cpu_us"] for result in results),
    }


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


def run_whole(checkout: Path, source: Path, images: int) -> Result:
    """`kedro run --pipelines ingest,preprocess` of a checkout, from typing to end."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        project = Path(folder)
        for name in ("conf", "src"):
            shutil.copytree(checkout / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(checkout / "pyproject.toml", project)
        own = {"PYTHONPATH": str(project / "src"), "KEDRO_DISABLE_TELEMETRY": "1"}
        own["MLFLOW_TRACKING_URI"] = f"sqlite:///{project}/mlflow.db"
        params = f"source.path={source},preprocess.size={SIZE},preprocess.crop={CROP}"
        command = [sys.executable, "-m", "kedro", "run", "--env", "celeba", "--pipelines", "ingest,preprocess"]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run([*command, "--params", params], cwd=project, env=os.environ | own, capture_output=True)
        seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"kedro run failed:\n{done.stdout.decode()[-3000:]}{done.stderr.decode()[-3000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "rate": images / seconds, "cpu_us": cpu / images * 1e6}


def in_a_process(measure: str, folder: Path, script: Path = Path(__file__), checkout: Path = PROJECT) -> Result:
    """The result of a measurement made in a fresh process with a checkout's code, and the peak of its memory."""
    process = subprocess.Popen(
        [sys.executable, str(script), "--measure", measure, "--folder", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(checkout / "src")},
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


def unpack(folder: Path) -> Path:
    """A folder with the same images as files, and the same tables."""
    from celeba_gan.sources.celeba import IMAGES_FOLDER
    from celeba_gan.sources.official import IMAGES_ZIP

    files = folder.with_name(f"{folder.name}-files")
    files.mkdir()
    with zipfile.ZipFile(folder / IMAGES_ZIP) as archive:
        archive.extractall(files)
    assert (files / IMAGES_FOLDER).is_dir()
    for table in folder.glob("*.txt"):
        shutil.copy2(table, files)
    return files


def compare(folder: Path, images: int, rounds: int, before: Path | None, whole: bool) -> list[str]:
    """Rows of the table: packing against the loops side by side, and against another checkout."""
    source = folder / f"celeba-{images}"
    write_source(source, images)
    in_a_process("index", source)
    checkouts = {"": PROJECT} | ({" before": before} if before else {})
    measures: dict[str, Callable[[], Result]] = {"loops": lambda: side_by_side(source)}
    for name, checkout in checkouts.items():
        measures[f"packing{name}"] = partial(in_a_process, "pack", source, checkout=checkout)
    if whole:
        files = unpack(source)
        for name, checkout in checkouts.items():
            measures[f"ingest,preprocess of the zip{name}"] = partial(run_whole, checkout, source, images)
            measures[f"ingest,preprocess of a folder{name}"] = partial(run_whole, checkout, files, images)
    results: dict[str, list[Result]] = {name: [] for name in measures}
    for turn in range(rounds):
        for name, measure in measures.items():
            results[name].append(measure())
        print(f"round {turn + 1}: " + ", ".join(f"{name} {taken[-1]['rate']:.0f}" for name, taken in results.items()))
    shutil.rmtree(source)
    loops = results.pop("loops")
    rows = [
        f"| plain loops, {cores()} side by side | {statistics.median(one['rate'] for one in loops):,.0f} images/s, "
        f"{statistics.median(one['cpu_us'] for one in loops):.0f} us CPU an image | | |"
    ]
    for name, taken in results.items():
        rate = statistics.median(one["rate"] for one in taken)
        cpu = [one.get("cpu_us", one.get("workers_us", 0) + one.get("parent_us", 0)) for one in taken]
        wall_ratio = statistics.median(one["rate"] / loop["rate"] for one, loop in zip(taken, loops, strict=True))
        cpu_ratio = statistics.median(loop["cpu_us"] / one for one, loop in zip(cpu, loops, strict=True))
        rows.append(
            f"| {name} | {rate:,.0f} images/s ({images / rate:.1f} s), {statistics.median(cpu):.0f} us CPU an image | "
            f"{wall_ratio:.2f} | {cpu_ratio:.2f} |"
        )
    return rows


def compare_reading(folder: Path, images: int, rounds: int) -> list[str]:
    """Rows of the table: packing and reading shards back against torchvision's usual pipeline."""
    reading = Path(__file__).with_name("reading.py")
    source = folder / f"celeba-{images}"
    write_source(source, images)
    in_a_process("index", source)
    in_a_process("unpack", source, reading)
    scripts = {"pack": Path(__file__), "loader": reading, "shards": reading}
    results = [{name: in_a_process(name, source, script) for name, script in scripts.items()} for _ in range(rounds)]
    shutil.rmtree(source)

    def median(name: str, over: str | None = None) -> float:
        return statistics.median(one[name]["rate"] / (one[over]["rate"] if over else 1) for one in results)

    return [
        f"| ImageFolder + DataLoader, {cores()} workers | {median('loader'):,.0f} images/s | | |",
        f"| shards, random batches of 64 as floats | {median('shards'):,.0f} images/s | | |",
        f"| packing / DataLoader, to be 1.4 at least | {median('pack', 'loader'):.2f} | | |",
        f"| shards / DataLoader, to be 20 at least | {median('shards', 'loader'):.1f} | | |",
    ]


def scale(folder: Path) -> list[str]:
    """Rows of the table: how memory and time grow."""
    rows = []
    for images in SCALE:
        source = folder / f"celeba-{images}"
        write_source(source, images)
        indexed = in_a_process("index", source)
        loops = side_by_side(source)["rate"]
        packed = in_a_process("pack", source)
        shutil.rmtree(source)
        target = "< 15 s" if images == OFFICIAL else ""
        rows += [
            f"| indexing {images:,} images | {indexed['seconds']:.1f} s ({indexed['cpu']:.1f} s of CPU), "
            f"PSS {indexed['pss_mib']:.0f} MiB | {target} |",
            f"| packing {images:,} images | {packed['seconds']:.1f} s, {packed['rate']:,.0f} images/s, "
            f"{packed['rate'] / loops:.2f} of the loops side by side | >= 0.85 |",
            f"| its memory, all processes | PSS {packed['pss_mib']:.0f} MiB | < 500 MiB, flat |",
        ]
        print("\n".join(rows[-3:]), flush=True)
    return rows


def parts(folder: Path) -> list[str]:
    """Rows of a table: microseconds an image of what packing does, one part after the other in one process."""
    from celeba_gan.images.decoding import DecodingRecipe, decode_image
    from celeba_gan.images.duplicates import pixel_digest
    from celeba_gan.images.packed import hash_pixels
    from celeba_gan.sources.celeba import CelebA

    source = CelebA(folder)
    names = source.image_names[:4000]
    recipe = DecodingRecipe(CROP, SIZE, "bilinear", "#ffffff")
    rows = []

    def timed(part: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        made = work()
        rows.append(f"| {part} | {(time.perf_counter() - began) / len(names) * 1e6:.1f} |")
        return made

    jpegs = timed("read, with the zip's checksum", lambda: [source.read(name) for name in names])
    timed("the plain loop: decode, crop, resize", lambda: [plain(jpeg) for jpeg in jpegs])
    images = timed("packing's own `decode_image`", lambda: [decode_image(one, recipe) for one in jpegs])
    timed("digest of the pixels", lambda: [pixel_digest(image) for image in images])
    shard = timed("into the shard's array", lambda: np.stack(images))
    timed("checksum of the shard", lambda: hash_pixels(shard))
    timed("writing it, with fsync", lambda: write_whole(folder / "shard", shard.data.cast("B")))
    return rows


def write_whole(path: Path, data: memoryview) -> None:
    """Writes a file, and waits until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


MEASURES = {"index": index_source, "loop": plain_loop, "pack": pack}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another checkout, which packs in turn")
    parser.add_argument("--whole", action="store_true", help="also time `kedro run --pipelines ingest,preprocess`")
    parser.add_argument("--reading", action="store_true", help="also compare with torchvision's ImageFolder")
    parser.add_argument("--scale", action="store_true", help="also take memory and times at up to 202,599 images")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("--parts", action="store_true", help="only what each part of packing takes, in one process")
    arguments = parser.parse_args()
    if arguments.parts:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            write_source(Path(folder) / "celeba", 4000)
            print("\n".join(["| part | us an image |", "|---|---|", *parts(Path(folder) / "celeba")]))
        return
    if arguments.measure:
        print(json.dumps(MEASURES[arguments.measure](arguments.folder)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        before = arguments.before.absolute() if arguments.before else None
        rows = compare(Path(folder), arguments.images, arguments.rounds, before, arguments.whole)
        rows += compare_reading(Path(folder), arguments.images, arguments.rounds) if arguments.reading else []
        rows += scale(Path(folder)) if arguments.scale else []
    from machine import describe, matrix_product_ms  # only now: torch would count as memory of the packing

    versions: list[Any] = [f"{name} {__import__(name).__version__}" for name in ("PIL", "numpy", "torchvision")]
    print(f"{describe()}, {', '.join(versions)}; 1024^3 float32 product {matrix_product_ms():.1f} ms")
    print(f"{SIZE}x{SIZE} from a crop of {CROP}, bilinear; medians of {arguments.rounds} rounds")
    print("\n".join(["| | measured | of the loops, wall | of the loops, CPU |", "|---|---|---|---|", *rows]))


if __name__ == "__main__":
    main()
