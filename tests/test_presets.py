"""Every environment's training, made small, resumes exactly."""

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kedro.framework.session import KedroSession
from numpy.typing import NDArray

from celeba_gan.gan.inputs.conditions import Conditions
from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import Tick, train
from celeba_gan.images.config import PreprocessSettings
from kedro_here import configure

REPOSITORY = Path(__file__).parents[1]
ENVIRONMENTS = sorted(
    folder.name for folder in (REPOSITORY / "conf").iterdir() if folder.is_dir() and folder.name != "local"
)
NARROW: dict[str, Any] = {
    "dcgan": {"width": 8, "max_width": 16},
    "resnet": {"width": 8, "max_width": 16},
    "r3": {"width": 8, "max_width": 16, "blocks": 1, "group_size": 8},
    "article": {"width": 16, "discriminator_width": 8},
}
BUSY: dict[str, Any] = {  # what has a state of its own, or follows the clock
    "augment": {"name": "ada", "ada": {"interval": 2, "speed_kimg": 0.1}},
    "generator_optimizer": {"schedule": {"name": "cosine", "warm_up_kimg": 0.02, "end_kimg": 0.1}},
    "discriminator_optimizer": {"schedule": {"name": "linear", "end_kimg": 0.1, "final": 0.1}},
    "ema": {"half_life_kimg": 0.01},
    "precision": "float32",
}


class Blots:
    """Sixty smooth random pictures, forty of them for training."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.digest = f"blots of {size}"

    def split(self, name: str) -> tuple[int, int]:
        return {"train": (0, 40), "valid": (40, 50), "test": (50, 60)}[name]

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        coarse = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 3), dtype=np.uint8)[indices]
        return coarse.repeat(self.size // 4, axis=1).repeat(self.size // 4, axis=2)


def merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nested dictionaries, the changes over the values."""
    result = dict(values)
    for name, change in changes.items():
        both = isinstance(change, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], change) if both else change
    return result


def small_settings(environment: str, changes: dict[str, Any]) -> tuple[TrainSettings, int]:
    """The environment's `train`, narrowed and shortened to four ticks of one iteration, and its images' size."""
    configure()
    with KedroSession.create(REPOSITORY, env=environment) as session:
        parameters = session.load_context().params  # type: ignore[attr-defined]  # of every session there is
    preset = TrainSettings.model_validate(parameters["train"]).model_dump(exclude_unset=True)
    n_critic = TrainSettings.model_validate(preset).n_critic
    iteration = 4 * n_critic / 1000
    little = {
        "batch_size": 4,
        "micro_batch": None,
        "tick_kimg": iteration,
        "kimg": 4 * iteration,
        "network": NARROW,
        "grid": {"rows": 1, "columns": 4},
        "threads": 1,
    }
    settings = merged(merged(preset, little), changes)
    return TrainSettings.model_validate(settings), PreprocessSettings.model_validate(parameters["preprocess"]).size


def run(size: int, settings: TrainSettings, resumed: Snapshot | None = None) -> list[Tick]:
    conditions = Conditions.none()
    if settings.condition.name == "class":
        conditions = Conditions("class", ("this", "that"), np.arange(60) % 2)
    elif settings.condition.name == "attributes":
        conditions = Conditions(
            "attributes", ("this", "that"), np.stack([np.arange(60) % 2, np.arange(60) % 3 == 0], 1)
        )
    ticks = train(Blots(size), settings, resumed, conditions=conditions)
    return [replace(tick, snapshot=copy.deepcopy(tick.snapshot)) for tick in ticks]


@pytest.mark.parametrize(
    "changes",
    [pytest.param({}, id="as it is", marks=pytest.mark.slow), pytest.param(BUSY, id="augmented and scheduled")],
)
@pytest.mark.parametrize(
    "environment",
    [
        pytest.param(name, marks=pytest.mark.slow) if name not in ("base", "celeba", "conditional_demo") else name
        for name in ENVIRONMENTS
    ],
)
def test_resumed_at_any_tick_it_is_bit_identical(
    environment: str, changes: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    settings, size = small_settings(environment, changes)
    whole = run(size, settings)
    assert len(whole) == 5
    at = random.Random().randrange(1, 4)  # another each time: any must do
    record_property("resumed at tick", at)
    print(f"resumed at tick {at}")  # for people, where it fails
    resumed = run(size, settings, whole[at].snapshot)
    assert resumed[-1].snapshot.tensors.keys() == whole[-1].snapshot.tensors.keys()
    for name, tensor in whole[-1].snapshot.tensors.items():
        assert torch.equal(tensor, resumed[-1].snapshot.tensors[name]), f"{name}, resumed at tick {at}"
    assert any(
        not torch.equal(whole[0].snapshot.tensors[name], tensor) for name, tensor in whole[-1].snapshot.tensors.items()
    )
