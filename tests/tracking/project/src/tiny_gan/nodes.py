"""A training without arithmetic that stops, fails or dies where it is told to."""

import os
import signal
import uuid
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from celeba_gan.evaluation.documents import Evaluation, EvaluationProtocol, Interval
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.metric_rows import MetricRows
from celeba_gan.reporting.grids import ImageGrid

Fault = Literal["none", "refuse", "error", "interrupt", "interrupt_twice", "terminate", "kill", "kill_server"]
TICK, SIZE = 100, 16
DIGEST = "0123456789abcdef" * 4  # of the images
ORIGIN = {"id": "earlier", "images": 70}  # of the weights that the training began with


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
    settings: TinySettings, resume_state: Checkpoint | None
) -> Iterator[tuple[MetricRows, ImageGrid, Checkpoint, Checkpoint]]:
    from celeba_gan.gan.networks.build import build_generator
    from celeba_gan.gan.runtime.signals import StopSignal

    card = resume_state.card if resume_state else {"id": uuid.uuid4().hex, "images": 0}
    latent = LatentSettings(size=8)
    tensors = resume_state.tensors if resume_state else build_generator(settings.network, latent, SIZE).state_dict()

    def tick(images: int, rows: list[dict[str, float]]) -> tuple[MetricRows, ImageGrid, Checkpoint, Checkpoint]:
        common = {"id": card["id"], "images": images, "finished": images >= settings.images, "data_digest": DIGEST}
        network = {"network": settings.network.model_dump(mode="json"), "latent": latent.model_dump(mode="json")}
        grid = ImageGrid(images, np.full((8, 12, 3), images % 256, np.uint8))
        state = Checkpoint("training_state", {**common, "hardware": {"device": "cpu"}, "init_from": ORIGIN}, tensors)
        return (
            MetricRows(images, rows),
            grid,
            Checkpoint("generator", common | network | {"size": SIZE}, tensors),
            state,
        )

    images = card["images"]
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
            yield tick(images, [{"images": images - 50.0, "loss": 0.5}, {"images": float(images), "loss": 1 / images}])
        stop.raise_if_received()


def choose(settings: MeasureSettings) -> dict[str, Any]:
    fail(settings.fault)
    return {"samples": {"count": 5}}


def measure(generator: Checkpoint) -> Evaluation:
    card = generator.card
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
        training_id=card["id"],
        images=card["images"],
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
