"""The memory of a step, predicted from smaller ones: against what it holds, and what the process takes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from celeba_gan.gan.runtime.hardware import choose_hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import train
from celeba_gan.gan.training.rehearsal import NEVER, LiveBytes, Rehearsal, expected_time

Make = Callable[..., TrainSettings]

RP = {
    "objective": {"name": "rpgan"},
    "penalty": {"gradient_penalty": {"weight": 0}, "r1": {"weight": 1}, "r2": {"weight": 1}, "every": 4},
}
KINDS: dict[str, dict[str, Any]] = {
    "gradient penalty": {},
    "half of the batch at a time": {"micro_batch": 12},
    "bfloat16": {"precision": "bfloat16"},
    "r1 and r2 on r3": {**RP, "network": {"name": "r3", "r3": {"width": 8, "max_width": 16, "group_size": 8}}},
    "augmented": {"augment": {"name": "ada", "ada": {"p": 0.5}}},
    "spectral norm, no penalty": {
        "objective": {"name": "hinge"},
        "penalty": {"gradient_penalty": {"weight": 0}},
        "network": {"spectral_norm": True, "dcgan": {"width": 8}},
    },
}


def rehearse(settings: TrainSettings, size: int = 32, classes: int | None = None) -> Rehearsal:
    return Rehearsal(settings, size, choose_hardware(settings, None), classes)


def test_live_bytes_are_those_of_the_tensors_that_live() -> None:
    before = torch.zeros(1000)
    with LiveBytes("cpu") as live:
        first = before + 1  # 4,000 bytes
        before.mul_(2)  # was there before
        view = first[:10]  # no memory of its own
        second = torch.zeros(500, dtype=torch.float64)
        del first
        view.add_(1)  # keeps all of `first`
        del view
        second.add_(1)
        elsewhere = torch.zeros(10**6, device="meta")
        elsewhere.add_(1)
    assert live.course[0] == 4000
    assert max(live.course) == 8000
    assert live.course[-1] == 4000


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_holds_what_smaller_ones_predict(kind: str, make_settings: Make) -> None:
    settings = make_settings(**{"batch_size": 24, "n_critic": 1, **KINDS[kind]})
    rehearsal = rehearse(settings)
    predicted = rehearsal.memory(0).steps.peak(settings.micro_batch or 24)
    steps, feed = rehearsal._steps({}, every=1)
    with LiveBytes("cpu") as live:
        steps.iterate(feed, 1, 1)
    assert predicted == pytest.approx(max(live.course), rel=0.01)
    if kind in ("gradient penalty", "bfloat16", "r1 and r2 on r3"):  # it is the double backward that decides
        plain, feed = rehearsal._steps({}, every=NEVER)
        with LiveBytes("cpu") as live:
            plain.iterate(feed, 1, 1)
        assert max(live.course) < 0.9 * predicted


def test_parts_of_the_memory_are_the_networks(make_settings: Make, images: Any) -> None:
    settings = make_settings(kimg=0.032, tick_kimg=0.016, batch_size=16, micro_batch=4, n_critic=1)
    rehearsal = rehearse(settings, size=16)
    memory = rehearsal.memory(resident=12345)
    generator, discriminator = (
        4 * sum(weight.numel() for weight in network.parameters())
        for network in (rehearsal.players.generator, rehearsal.players.discriminator)
    )
    assert memory.weights == generator + discriminator
    assert memory.average == generator
    assert memory.gradients == max(generator, discriminator)
    assert memory.moments == pytest.approx(2 * memory.weights, rel=0.01)
    assert memory.waiting == (16 - 2 * 4) * 3 * 16 * 16 * 4
    assert memory.lasting == memory.weights + memory.average + memory.moments + memory.waiting + 12345
    assert memory.total == memory.of(4) == memory.lasting + memory.activations + memory.gradients
    assert memory.of(2) < memory.total
    *_, last = train(images, settings)
    saved = [last.state, last.generator, last.discriminator]
    assert memory.disk == sum(tensor.nbytes for checkpoint in saved for tensor in checkpoint.tensors.values())


PROGRAM = """
import sys
from pathlib import Path
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.runtime.hardware import choose_hardware
from celeba_gan.gan.training.rehearsal import Rehearsal

def resident(which):
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines[which].split()[0])

settings = TrainSettings.model_validate_json(sys.argv[1])
rehearsal = Rehearsal(settings, 64, choose_hardware(settings, None), None)
memory = rehearsal.memory(0)
steps, feed = rehearsal._steps({}, every=1)
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: that of importing torch is higher
before = resident("VmRSS")
steps.iterate(feed, 1, 1)
print(memory.steps.peak(settings.batch_size), resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages as Linux does, with glibc's allocator")
@pytest.mark.parametrize("kind", ["gradient penalty", pytest.param("r1 and r2 on r3", marks=pytest.mark.slow)])
def test_the_process_takes_what_was_estimated(kind: str, make_settings: Make) -> None:
    """In a process of its own, told to give freed memory back at once; the libraries' scratch space comes on top."""
    network: dict[str, Any] = {"network": {"dcgan": {"width": 32}}}
    if "r3" in kind:
        network = {"network": {"name": "r3", "r3": {"width": 16, "max_width": 32}}}
    settings = make_settings(
        **{**KINDS[kind], **network, "batch_size": 64, "n_critic": 1, "tick_kimg": 1, "precision": "float32"}
    )
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, settings.model_dump_json()],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"},
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    estimated, measured = map(int, run.stdout.split())
    assert estimated > 50e6
    assert 0.9 < measured / estimated < 1.3


@pytest.mark.parametrize(
    ("timed", "batch", "seconds"),
    [
        ({2: [0.5, 0.3]}, 8, 1.2),  # one size: in proportion
        ({2: [0.3], 4: [0.9, 0.4]}, 8, 0.6),  # a line
        ({2: [0.1], 4: [0.4]}, 8, 0.8),  # steeper than in proportion: no slower than that
        ({2: [0.5], 4: [0.4]}, 8, 0.4),  # falling: no faster than what was timed
    ],
)
def test_larger_batches_are_on_the_line_through_smaller_ones(
    timed: dict[int, list[float]], batch: int, seconds: float
) -> None:
    assert expected_time(timed, batch) == pytest.approx(seconds)


def test_timing_uses_the_whole_batch_where_time_and_memory_allow_it(make_settings: Make) -> None:
    settings = make_settings(batch_size=12, micro_batch=4)
    rehearsal = rehearse(settings, size=16)
    memory = rehearsal.memory(0)
    assert rehearsal._batch_sizes() == [1, 2, 3, 4, 12]
    assert rehearsal.speed(memory, None, 5.0).batch_size == 12
    assert rehearsal.speed(memory, None, 0.0).batch_size == 2
    small = rehearsal.speed(memory, int(memory.of(1) / 0.8) + 1, 5.0)
    assert small.batch_size == 1
    assert small.images_per_second > 0


def test_lazy_penalties_are_timed_as_often_as_they_happen(make_settings: Make) -> None:
    """Of every four steps one is penalised: the mean is a quarter of the way from none to all of them."""
    settings = make_settings(**RP, batch_size=16)
    rehearsal = rehearse(settings)
    always, _ = rehearsal._steps({}, every=1)
    never, _ = rehearsal._steps({}, every=NEVER)
    assert all(always.penalty.is_due(step) for step in range(settings.n_critic, 2 * settings.n_critic))
    assert not any(never.penalty.is_due(step) for step in range(settings.n_critic, 2 * settings.n_critic))
    taken = iter([5.0, 1.0])
    rehearsal._time_iteration = lambda steps, feed: next(taken)  # type: ignore[method-assign]  # the clock alone
    assert rehearsal._time(16) == 2.0
