"""The memory and the time that are measured beforehand: against what a training holds, and what the process takes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from celeba_gan.gan.inputs.feed import ImageFeed
from celeba_gan.gan.runtime.hardware import choose_hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import train
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.probe import NEVER, LiveBytes, Probe
from celeba_gan.gan.training.steps import Steps

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


def with_slow_ones(*slow: str) -> list[Any]:
    """All kinds, these marked as slow."""
    return [pytest.param(kind, marks=[pytest.mark.slow] if kind in slow else []) for kind in KINDS]


def make_probe(settings: TrainSettings, size: int = 32, classes: int | None = None) -> Probe:
    return Probe(settings, size, choose_hardware(settings, None), classes)


def test_live_bytes_are_those_of_the_tensors_that_live() -> None:
    before = torch.zeros(1000)
    with LiveBytes("cpu") as live:
        first = before + 1  # 4,000 bytes
        before.mul_(2)  # was there before
        assert live.now == live.peak == 4000
        view = first[:10]  # no memory of its own
        second = torch.zeros(500, dtype=torch.float64)
        assert live.now == live.peak == 8000
        del first
        view.add_(1)  # keeps all of `first`
        assert live.now == 8000
        del view
        second.add_(1)
        elsewhere = torch.zeros(10**6, device="meta")
        elsewhere.add_(1)
    assert (live.now, live.peak) == (4000, 8000)


@pytest.mark.parametrize("kind", with_slow_ones(*(kind for kind in KINDS if kind != "gradient penalty")))
def test_memory_is_what_an_iteration_of_the_training_holds(
    kind: str, make_settings: Make, images_at: Callable[[int], Any]
) -> None:
    settings = make_settings(**{"batch_size": 24, "n_critic": 1, **KINDS[kind]})
    probe = make_probe(settings)
    memory, speed = probe.measure(0, None, 60.0)
    micro = settings.micro_batch or 24
    assert (memory.measured, speed.batch_size) == (micro, 24)
    measured = memory.activations + memory.gradients
    with LiveBytes("cpu") as live:
        probe._time(probe._steps({}, every=1), 24)
    assert measured == pytest.approx(live.peak, rel=1e-3)

    hardware = choose_hardware(settings, None)
    steps = Steps(settings, hardware, Pair(settings, 32, hardware))
    feed = ImageFeed(settings, images_at(32), hardware)
    steps.iterate(feed, 0, 24)  # makes Adam's moments
    with LiveBytes("cpu") as live:  # of a penalised step: it is one in four with `every`
        steps.iterate(feed, 4, 120)
    assert measured == pytest.approx(live.peak, rel=0.03)
    if kind in ("gradient penalty", "bfloat16", "r1 and r2 on r3"):  # it is the double backward that decides
        with LiveBytes("cpu") as live:
            probe._time(probe._steps({}, every=NEVER), 24)
        assert live.peak < 0.9 * measured


@pytest.mark.slow
@pytest.mark.parametrize("kind", with_slow_ones(*(kind for kind in KINDS if kind != "gradient penalty")))
def test_what_was_not_measured_is_in_proportion(
    kind: str, make_settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(**{"batch_size": 64, "n_critic": 1, "tick_kimg": 0.1, **KINDS[kind], "micro_batch": 32})
    whole, _ = make_probe(settings).measure(0, None, 60.0)
    assert whole.measured == 32
    iterate = Probe._iterate

    def hungry(self: Probe, batch: int, micro: int) -> tuple[int, float]:
        if micro > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return iterate(self, batch, micro)

    monkeypatch.setattr(Probe, "_iterate", hungry)
    part, speed = make_probe(settings).measure(0, None, 60.0)
    assert (part.measured, speed.batch_size) == (8, 8)
    assert part.activations == pytest.approx(whole.activations, rel=0.2)
    assert (part.weights, part.moments, part.gradients) == (whole.weights, whole.moments, whole.gradients)


def test_a_single_image_that_does_not_fit_and_other_errors_are_raised(
    make_settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(error: RuntimeError, at: int) -> None:
        def iterate(self: Probe, batch: int, micro: int) -> tuple[int, float]:
            if batch >= at:
                raise error
            return 1, 1e-3

        monkeypatch.setattr(Probe, "_iterate", iterate)
        make_probe(make_settings(), size=16).measure(0, None, 60.0)

    with pytest.raises(torch.OutOfMemoryError):
        fails(torch.OutOfMemoryError("CUDA out of memory"), at=1)
    with pytest.raises(RuntimeError, match="another"):
        fails(RuntimeError("another"), at=8)
    fails(torch.OutOfMemoryError("CUDA out of memory"), at=8)


def test_larger_batches_are_measured_where_time_and_memory_allow_it(
    make_settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image takes a kilobyte and a millisecond."""
    tried: list[tuple[int, int]] = []

    def iterate(self: Probe, batch: int, micro: int) -> tuple[int, float]:
        tried.append((batch, micro))
        return 1000 * micro, batch / 1000

    monkeypatch.setattr(Probe, "_iterate", iterate)

    def measured(free: int | None, seconds: float, **changes: Any) -> list[tuple[int, int]]:
        tried.clear()
        settings = make_settings(**{"batch_size": 48, "micro_batch": 16, "tick_kimg": 0.1, **changes})
        memory, speed = make_probe(settings, size=16).measure(0, free, seconds)
        assert (speed.batch_size, memory.measured) == tried[-1]
        assert speed.images_per_second == pytest.approx(1000 * settings.n_critic)
        return list(tried)

    first = [(1, 1), (2, 2), (4, 4), (8, 8)]
    assert measured(None, 60) == [*first, (48, 16)]
    assert measured(None, 0) == [(1, 1)]
    assert measured(None, 0.09) == first  # four steps of each network take 2 x 0.048 s
    assert measured(20_001, 60) == [*first, (48, 16)]
    assert measured(19_999, 60) == first
    assert measured(2_499, 60) == [(1, 1)]
    assert measured(None, 60, micro_batch=None) == [*first, (48, 48)]
    assert measured(None, 60, micro_batch=4) == [(1, 1), (2, 2), (48, 4)]
    assert measured(None, 60, micro_batch=1) == [(48, 1)]


def test_what_is_quick_is_timed_again_since_others_may_have_the_cores(
    make_settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first timings of each kind take a second, as where another program runs, and then a hundredth of one."""
    settings = make_settings(n_critic=2, penalty={"gradient_penalty": {"weight": 0}, "r1": {"weight": 1}})
    probe = make_probe(settings, size=16)
    seconds = iter([2.0, 2.0, 0.02, 0.01, 0.02, 1.0, 0.01])
    now = 0.0

    def timed(steps: Steps, batch: int, *, whole: bool = True) -> float:
        nonlocal now
        one = next(seconds, 0.01)
        now += 0.1
        return one

    monkeypatch.setattr(probe, "_time", timed)
    monkeypatch.setattr("celeba_gan.gan.training.probe.time.perf_counter", lambda: now)
    _, took = probe._iterate(4, 4)
    assert took == pytest.approx(2 * 0.01)


def test_parts_of_the_memory_are_the_networks(make_settings: Make, images: Any) -> None:
    settings = make_settings(kimg=0.032, tick_kimg=0.016, batch_size=16, micro_batch=4, n_critic=1)
    probe = make_probe(settings, size=16)
    memory, _ = probe.measure(12345, None, 60.0)
    generator, discriminator = (
        4 * sum(weight.numel() for weight in network.parameters())
        for network in (probe.pair.generator, probe.pair.discriminator)
    )
    assert memory.weights == generator + discriminator
    assert memory.average == generator
    assert memory.gradients == max(generator, discriminator)
    assert memory.moments == pytest.approx(2 * memory.weights, rel=0.01)
    assert memory.resident == 12345
    assert memory.total == (
        memory.weights + memory.average + memory.moments + memory.gradients + memory.activations + 12345
    )
    *_, last = train(images, settings)
    assert last.networks.discriminator is not None
    networks = (last.networks.generator.tensors, last.networks.discriminator.tensors)
    saved = [tensor for tensors in (last.snapshot.tensors, *networks) for tensor in tensors.values()]
    assert memory.disk == pytest.approx(sum(tensor.nbytes for tensor in saved), rel=1e-3)


PROGRAM = """
import sys
from pathlib import Path
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.runtime.hardware import choose_hardware
from celeba_gan.gan.training.probe import Probe

def resident(which):
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines[which].split()[0])

settings = TrainSettings.model_validate_json(sys.argv[1])
probe = Probe(settings, 64, choose_hardware(settings, None), None)
memory, _ = probe.measure(0, None, 60.0)
assert memory.measured == settings.batch_size
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: that of importing torch is higher
before = resident("VmRSS")
probe._time(probe._steps({}, every=1), settings.batch_size)
print(memory.activations + memory.gradients, resident("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages as Linux does, with glibc's allocator")
@pytest.mark.parametrize("kind", ["gradient penalty", pytest.param("r1 and r2 on r3", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_the_process_takes_what_was_measured(kind: str, make_settings: Make) -> None:
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
    expected, measured = map(int, run.stdout.split())
    assert expected > 50e6
    assert 0.9 < measured / expected < 1.3


def test_lazy_penalties_are_timed_as_often_as_they_happen(make_settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every four steps one is penalised: the mean is a quarter of the way from none to all of them."""
    settings = make_settings(**RP, batch_size=16)
    probe = make_probe(settings)
    due = {every: probe._steps({}, every).penalty.is_due for every in (1, NEVER)}
    steps = range(settings.n_critic, 2 * settings.n_critic)
    assert all(due[1](step) for step in steps)
    assert not any(due[NEVER](step) for step in steps)
    seconds = {1: 5.0, NEVER: 1.0}

    def clock(steps: Steps, batch: int, *, whole: bool = True) -> float:  # the clock alone
        return seconds[steps.settings.penalty.every] + (7.0 if whole else 0.0)

    monkeypatch.setattr(probe, "_time", clock)
    assert probe._iterate(16, 16)[1] == 7.0 + settings.n_critic * 2.0


def test_one_step_of_each_network_gives_the_time_of_any_iteration(
    make_settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Probe, "_time", lambda *_, whole=True: 3.0 + (2.0 if whole else 0.0))
    for n_critic in (1, 5):
        probe = make_probe(make_settings(n_critic=n_critic, batch_size=16))
        assert probe._iterate(16, 16)[1] == 2.0 + n_critic * 3.0


@pytest.mark.slow
def test_all_networks_are_really_trained_with_labels_and_augmentation(make_settings: Make) -> None:
    probe = make_probe(make_settings(condition={"name": "class"}, augment={"name": "ada"}), size=16, classes=3)
    before = {name: tensor.clone() for name, tensor in probe.pair.state_dict().items()}
    _, speed = probe.measure(0, None, 60.0)
    assert speed.images_per_second > 0
    moved = [name for name, tensor in before.items() if not torch.equal(tensor, probe.pair.state_dict()[name])]
    assert {name.split(".")[0] for name in moved} == {"generator", "discriminator", "average"}
