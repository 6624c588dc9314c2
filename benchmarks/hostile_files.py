"""Thousands of forged, cut and damaged files for everything that loads one: each is refused with a reason, or read.

Generators (safetensors with their card), directions, an interrupted sampling's record, and networks in ONNX that give
features. A file may also be harmless: then what is made of it must be right. Anything else than a refusal with a reason
is printed and counted. Pictures' recipes and requests are attacked by `explorer.py` and
`serving.py`.

    python benchmarks/hostile_files.py --files 2000 --seed 0
"""

import argparse
import copy
import json
import random
import resource
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fresh_models import fresh_generator
from machine import describe
from torch import nn

import celeba_gan
from celeba_gan.api import ModelError
from celeba_gan.evaluation.features.config import FeatureFileSettings
from celeba_gan.evaluation.features.file import FeatureFile, FeatureFileError
from celeba_gan.foundation.documents import DocumentError
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.run import export
from celeba_gan.gan.sampling.control_documents import Direction, Directions, Prediction
from celeba_gan.samples.recipe import SampleRecipe
from celeba_gan.samples.stored import Progress, StoredSamples

Content = dict[str, Any]

WRONG: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**400, -(10**9), 0.5, float("nan"), float("inf"), "", "x", "../../etc/passwd",
    "\0", "é" * 1000, "9" * 5000, [], [[]], [None] * 100, {}, {"": {}}, {"name": "dcgan"}, [0] * 10_000,
)  # fmt: skip


def make_generator(folder: Path) -> bytes:
    """The file of a small generator."""
    network, latent = NetworkSettings.model_validate({"dcgan": {"width": 4}}), LatentSettings(size=8)
    export(fresh_generator(network, latent, 16), folder / "generator")
    return (folder / "generator.safetensors").read_bytes()


def forge(value: Any, dice: random.Random) -> Any:
    """A JSON value with one part replaced, removed or added, at any depth."""
    result = copy.deepcopy(value)
    here = result
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here))) if isinstance(here, list) else []
        if not keys:
            return dice.choice(WRONG) if here is result else result
        key = dice.choice(keys)
        if isinstance(here[key], (dict, list)) and here[key] and dice.random() < 0.7:
            here = here[key]
            continue
        kind = dice.random()
        if kind < 0.75:
            here[key] = dice.choice(WRONG)
        elif kind < 0.9:
            del here[key]
        elif isinstance(here, dict):
            here[dice.choice(["more", "format_version", "__class__"])] = dice.choice(WRONG)
        return result


def damage(content: bytes, dice: random.Random) -> bytes:
    """Bytes that are cut, flipped, doubled or replaced."""
    kind = dice.randrange(5)
    if kind == 0:
        return content[: dice.randrange(len(content))]
    if kind == 1:
        return content + dice.randbytes(dice.randrange(1, 1000))
    place = dice.randrange(len(content))
    if kind == 2:
        return content[:place] + bytes([content[place] ^ (1 << dice.randrange(8))]) + content[place + 1 :]
    if kind == 3:
        return dice.randbytes(dice.randrange(2000))
    return content[:place] + dice.randbytes(dice.randrange(1, 64)) + content[place:]


def forge_generator(content: bytes, dice: random.Random) -> bytes:
    """A generator's file with a forged card, forged tensors in its header, or damage."""
    if dice.random() < 0.3:
        return damage(content, dice)
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    if dice.random() < 0.7:
        card = json.loads(header["__metadata__"]["card"])
        del card["checksums"]  # they would refuse every forged card, and nothing behind them would be tried
        card = forge(card, dice)
        header["__metadata__"]["card"] = json.dumps(card)
    else:
        header = forge(header, dice)
    text = json.dumps(header).encode()
    size = len(text) if dice.random() < 0.9 else dice.choice([0, 1, 2**40, 2**64 - 1])
    return struct.pack("<Q", size) + text + content[8 + length :]


def read_generator(file: Path) -> str:
    """What became of it."""
    try:
        generator = celeba_gan.load_generator(file, device="cpu")
    except ModelError as error:
        if len(str(error)) < 20:
            raise ValueError(f"no reason: {error}") from error
        return "refused"
    images = generator.sample(2)
    assert images.shape == (2, generator.card.size, generator.card.size, 3)
    return "read"


def read_directions(file: Path) -> str:
    """What became of it."""
    try:
        Directions.read(file)
    except DocumentError as error:
        if str(file) not in str(error):
            raise ValueError(f"the file is not named: {error}") from error
        return "refused"
    return "read"


def make_features(file: Path) -> bytes:
    """A small network in ONNX: images (n, 3, 8, 8) to features (n, 4)."""
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    torch.onnx.export(
        layers,
        (torch.zeros(1, 3, 8, 8),),
        file,
        input_names=["images"],
        dynamic_axes={"images": {0: "n"}},
        dynamo=False,
    )
    return file.read_bytes()


def read_features(file: Path) -> str:
    """What became of it."""
    settings = FeatureFileSettings(path=str(file), name="forged", size=8)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    try:
        found = FeatureFile(settings)(images)
    except FeatureFileError as error:
        if len(str(error)) < 20:
            raise ValueError(f"no reason: {error}") from error
        return "refused"
    if len(found) != 3 or found.dtype != np.float32:
        raise ValueError(f"features {found.shape} of {found.dtype}")
    return "read"


def attack(
    name: str,
    make: Callable[[random.Random], bytes],
    read: Callable[[Path], str],
    file: Path,
    count: int,
    dice: random.Random,
) -> int:
    """Prints what became of so many files; returns how many were neither read nor refused."""
    found: Counter[str] = Counter()
    slowest = 0.0
    for number in range(count):
        file.write_bytes(make(dice))
        began = time.perf_counter()
        try:
            found[read(file)] += 1
        except Exception as error:  # whatever a user would see as a traceback
            found["failed"] += 1
            kept = file.with_name(f"failed-{name}-{number}{file.suffix}")
            file.rename(kept)
            print(f"{name} {number}: {type(error).__name__}: {str(error)[:200]} ({kept})")
        slowest = max(slowest, time.perf_counter() - began)
    print(f"{name}: {dict(found)}, the slowest {slowest:.2f} s", flush=True)
    return found["failed"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000, help="generators; half as many of each other kind")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(describe(), f"seed {arguments.seed}")
    dice = random.Random(arguments.seed)
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    torch.manual_seed(0)
    generator = make_generator(folder)
    found = Direction(
        name="Male", kind="attribute", vector=(1.0, 0.0), prediction=Prediction(auc=1, accuracy=1, share=0.5)
    )
    directions = Directions(
        training_id="one",
        images=7,
        latent_size=2,
        samples=9,
        held_out=3,
        seed=0,
        strength=3,
        step=3,
        directions=(found,),
    ).to_json()
    recipe = SampleRecipe(training_id="one", images=7, size=8, seed=0, truncation=1, labels=(), names=(), format="png")
    progress = Progress(recipe=recipe, total=3000, done=2048).to_json()
    stored = StoredSamples(folder / "samples")
    stored.staging.mkdir()

    def forged(value: Content) -> Callable[[random.Random], bytes]:
        def make(dice: random.Random) -> bytes:
            text = json.dumps(forge(value, dice)).encode()
            return damage(text, dice) if dice.random() < 0.3 else text

        return make

    def read_progress(_: Path) -> str:
        kept = stored.interrupted(recipe, 3000)
        if kept not in range(3000):
            raise ValueError(f"{kept} of 3000 samples would be kept")
        return "read as samples that are kept" if kept else "read as none"

    failed = attack(
        "generator",
        lambda dice: forge_generator(generator, dice),
        read_generator,
        folder / "generator.safetensors",
        arguments.files,
        dice,
    )
    failed += attack(
        "directions", forged(directions), read_directions, folder / "directions.json", arguments.files // 2, dice
    )
    failed += attack(
        "progress of sampling",
        forged(progress),
        read_progress,
        stored.staging / "progress.json",
        arguments.files // 2,
        dice,
    )
    network = make_features(folder / "features.onnx")
    failed += attack(
        "features in ONNX",
        lambda dice: damage(network, dice),
        read_features,
        folder / "features.onnx",
        arguments.files // 2,
        dice,
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{failed} of {5 * arguments.files // 2} neither read nor refused; peak of memory {peak:,.0f} MiB")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
