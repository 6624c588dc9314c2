"""A source as small as they come, for tests and for the programs that they start and kill."""

import io
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image


def encode(image, kind="JPEG"):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def photograph(seed, width=178, height=218):
    pixels = np.random.default_rng(seed).integers(0, 256, (11, 9, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height))


@dataclass(frozen=True)
class PhotographFolder:
    """Files in a folder; writes a byte for each photograph read, so that the parent can count."""

    path: Path
    fatal: str = ""
    """Reading it kills the process."""
    seconds: float = 0
    """What reading takes."""

    def read(self, image_id):
        if image_id == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        with (self.path / "reads").open("ab") as reads:
            reads.write(b".")
        return (self.path / image_id).read_bytes()

    def fingerprint(self, image_ids):
        return [str((self.path / image_id).stat().st_mtime_ns) for image_id in image_ids]

    def portion(self, image_ids):
        return self

    def count_reads(self):
        return (self.path / "reads").stat().st_size


def make_source(path, count, **photographs):
    """Photographs that all differ, a fifth of them in valid and in test; `at_3=data` is the file of number 3."""
    path.mkdir(exist_ok=True)
    for number in range(count):
        data = photographs.get(f"at_{number}")
        (path / f"{number:06d}.jpg").write_bytes(encode(photograph(number)) if data is None else data)
    return PhotographFolder(path), index_of(path)


def index_of(path):
    """The index of a folder that `make_source` made, in no order."""
    names = sorted(file.name for file in path.glob("*.jpg"))
    splits = [("train", "train", "train", "valid", "test")[int(name[:6]) % 5] for name in names]
    return pd.DataFrame({"image_id": names, "split": splits}).sample(frac=1, random_state=0)
