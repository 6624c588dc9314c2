"""A training without arithmetic that stops, fails or dies where it is told to."""

import os
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import BaseModel, ConfigDict

from celeba_gan.evaluation.documents import Evaluation, EvaluationProtocol, Interval
from celeba_gan.exporting.folder import ExportedFolder
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.cards import HealthCard, Keep, ModelCard, Origin, RunCard
from celeba_gan.gan.runs.metric_rows import MetricRows
from celeba_gan.gan.runs.models import NamedModel
from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.runs.snapshot import SNAPSHOT, Snapshot
from celeba_gan.gan.runtime.card import HardwareCard
from celeba_gan.reporting.grids import ImageGrid

Fault = Literal["none", "refuse", "error", "interrupt", "interrupt_twice", "terminate", "kill", "kill_server"]
TICK, SIZE = 100, 16
DIGEST = "0123456789abcdef" * 4  # of the images
ORIGIN = Origin(id="earlier", images=70)  # of the weights that the training began with


class TinySettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    images: int
    learning_rate: float
    fault: Fault
    network: NetworkSettings
    notes: str = "short"


class MeasureSettings(BaseModel):
    fault: Fault
    promote: bool
    promote_metric: str
    promote_as: str
    model: str | None = None


def draw_dots() -> pd.DataFrame:
    return pd.DataFrame({"x": [1, 2], "y": [3, 4]})


def train_tiny(
    settings: TinySettings, training_run_previous: Snapshot | None
) -> Iterator[tuple[MetricRows, ImageGrid, Snapshot]]:
    from celeba_gan.gan.networks.build import build_generator
    from celeba_gan.gan.runtime.signals import StopSignal

    previous = training_run_previous
    latent = LatentSettings(size=8)
    generator = build_generator(settings.network, latent, SIZE).state_dict()
    tensors = previous.tensors if previous else {f"average.{name}": tensor for name, tensor in generator.items()}
    training = previous.card.id if previous else uuid.uuid4().hex

    def tick(images: int, rows: list[dict[str, float]]) -> tuple[MetricRows, ImageGrid, Snapshot]:
        networks = ModelCard(
            id=training,
            images=images,
            finished=images >= settings.images,
            init_from=ORIGIN,
            best=None,
            size=SIZE,
            random_crop=None,
            data_digest=DIGEST,
            condition=None,
            network=settings.network,
            latent=latent,
            objective="wgan",
            probability="sigmoid",
        )
        card = RunCard.extend(
            networks,
            iteration=images,
            history=(),
            identity={},
            hardware=HardwareCard(device="cpu", device_name="tiny", precision="float32", threads=1, torch="2"),
            health=HealthCard(),
            keep=Keep(),
        )
        grid = ImageGrid(images, np.full((8, 12, 3), images % 256, np.uint8))
        return MetricRows(images, rows), grid, Snapshot(SNAPSHOT, card, tensors)

    images = previous.card.images if previous else 0
    if settings.fault == "refuse":
        fail("error")
    if images >= settings.images:
        yield tick(images, [])
        return
    with StopSignal() as stop:
        while images < settings.images and stop.received is None:
            if images == 2 * TICK:
                fail(settings.fault)
            images += TICK if stop.received is None else TICK // 2
            validated = {"swd_absolute_valid": 9.0, "swd_absolute_valid_floor": 3.0}
            last = {"images": float(images), "loss": 1 / images, **validated}
            yield tick(images, [{"images": images - 50.0, "loss": 0.5}, last])
        stop.raise_if_received()


def choose(settings: MeasureSettings) -> dict[str, Any]:
    fail(settings.fault)
    return {"samples": {"count": 5}}


def measure(training_run: Run, evaluated_model: NamedModel | None) -> Evaluation:
    card = (evaluated_model or training_run).networks().generator.card
    protocol = EvaluationProtocol(
        split="test",
        reals=10,
        samples=10,
        images_per_side=10,
        train_images=10,
        features={},
        neighbours=5,
        swd_images=10,
        swd_projections=1,
        swd_patches=1,
        ms_ssim_pairs=1,
        two_sample_images=0,
        judge_network="",
        seed=0,
        precision="float32",
        code="1",
        size=SIZE,
        centre_crop=None,
        recipe={},
        data_digest=DIGEST,
        trained_on=DIGEST,
        training_id=card.id,
        images=card.images,
        discriminator_images=None,
        finished=True,
        age_centre=None,
        age_centre_from="there is no discriminator",
    )
    return Evaluation(
        metrics={"age": 0.25, "swd": 0.5},
        intervals={"swd": Interval(low=0.375, high=0.625, method="bootstrap")},
        floor={"swd": 0.125},
        floor_train={},
        protocol=protocol,
    )


def publish() -> ExportedFolder:
    owner = tempfile.TemporaryDirectory()
    folder = Path(owner.name)
    (folder / "README.md").write_text(
        "---\nlicense: mit\n---\n\n# Tiny – a card\n\n![Samples](samples.png)\n\nWords.\n"
    )
    for name in ("samples.png", "other.png"):
        Image.new("RGB", (3, 2), "red").save(folder / name)
    return ExportedFolder(folder, owner)


def fail(fault: Fault) -> None:
    me = os.getpid()
    if fault == "error":
        raise ValueError("as told")
    if fault in ("interrupt", "interrupt_twice"):
        os.kill(me, signal.SIGINT)
    if fault == "interrupt_twice":
        os.kill(me, signal.SIGINT)
    if fault == "terminate":
        os.kill(me, signal.SIGTERM)
    if fault == "kill":
        os.kill(me, signal.SIGKILL)
    if fault == "kill_server":
        os.killpg(int(os.environ["SERVER_GROUP"]), signal.SIGKILL)
