"""What is `auto` follows the machine, or the snapshot that is resumed."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch

from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.runtime import hardware as hardware_module
from celeba_gan.gan.runtime.card import HardwareCard
from celeba_gan.gan.runtime.hardware import HardwareError, choose_hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import Tick, train

MakeSettings = Callable[..., TrainSettings]


@pytest.fixture(autouse=True)
def threads_as_before() -> Any:
    """`choose_hardware` sets those of the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Decides whether this machine computes bfloat16 in hardware."""
    return lambda able: monkeypatch.setattr(hardware_module, "computes_bfloat16", lambda device: able)


def run(images: TrainingImages, settings: TrainSettings) -> Tick:
    (*_, last) = train(images, settings)
    return last


@pytest.mark.parametrize(("able", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_where_the_hardware_computes_it(
    make_settings: MakeSettings, native: Callable[[bool], None], able: bool, precision: str
) -> None:
    native(able)
    assert choose_hardware(make_settings(precision="auto", device="cpu"), None).precision == precision
    for requested in ("float32", "bfloat16"):
        assert choose_hardware(make_settings(precision=requested, device="cpu"), None).precision == requested


@pytest.mark.parametrize("able", [True, False])
def test_the_same_command_twice_gives_the_same_bits(
    images: TrainingImages, make_settings: MakeSettings, native: Callable[[bool], None], able: bool
) -> None:
    native(able)
    settings = make_settings(precision="auto", device="cpu", kimg=0.08)
    first, second = run(images, settings).snapshot, run(images, settings).snapshot
    assert first.card.hardware == second.card.hardware
    assert first.card.hardware.precision == ("bfloat16" if able else "float32")
    assert all(torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())
    explicit = run(images, settings.model_copy(update={"precision": first.card.hardware.precision})).snapshot
    assert all(torch.equal(tensor, explicit.tensors[name]) for name, tensor in first.tensors.items())


@pytest.mark.parametrize(
    ("before", "able", "precision"),
    [
        ("bfloat16", True, "bfloat16"),
        ("float32", True, "float32"),
        ("float32", False, "float32"),
        ("bfloat16", False, "float32"),  # emulated, it would take many times longer
    ],
)
def test_a_resumed_run_keeps_what_the_snapshot_says(
    images: TrainingImages,
    make_settings: MakeSettings,
    native: Callable[[bool], None],
    caplog: pytest.LogCaptureFixture,
    before: str,
    able: bool,
    precision: str,
) -> None:
    native(able)
    snapshot = next(train(images, make_settings(precision=before, device="cpu"))).snapshot
    resumed = make_settings(precision="auto", device="cpu", kimg=0.08)
    (last,) = train(images, resumed, snapshot)
    assert last.snapshot.card.hardware.precision == precision
    assert ("precision bfloat16 -> float32" in caplog.text) == (before != precision)
    other = {"float32": "bfloat16", "bfloat16": "float32"}[before]
    (last,) = train(images, make_settings(precision=other, device="cpu", kimg=0.08), snapshot)
    assert last.snapshot.card.hardware.precision == other


def test_the_card_of_another_kind_of_device_decides_nothing(
    make_settings: MakeSettings, native: Callable[[bool], None], caplog: pytest.LogCaptureFixture
) -> None:
    native(False)
    before = HardwareCard(device="cuda", device_name="H200", precision="tf32", threads=1, torch=torch.__version__)
    chosen = choose_hardware(make_settings(precision="auto", device="cpu"), before)
    assert (chosen.device, chosen.precision) == ("cpu", "float32")
    assert "device cuda -> cpu, device_name H200 -> " in caplog.text
    assert "not bit for bit" in caplog.text


@pytest.mark.parametrize(("threads", "before", "expected"), [(None, 2, 2), (None, 9, 4), (3, 2, 3), (None, None, 4)])
def test_threads_are_those_requested_or_of_the_snapshot_or_all_cores(
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    threads: int | None,
    before: int | None,
    expected: int,
) -> None:
    monkeypatch.setattr(hardware_module, "own_cores", lambda: 4)
    settings = make_settings(device="cpu", threads=threads)
    card = None
    if before is not None:
        card = choose_hardware(settings, None).model_copy(update={"threads": before})
    assert choose_hardware(settings, card).threads == torch.get_num_threads() == expected


def test_what_changed_since_the_snapshot_is_logged_and_nothing_else(
    make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(device="cpu")
    before = choose_hardware(settings, None).card()
    choose_hardware(settings, before)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    choose_hardware(make_settings(device="cpu", compile=True), before)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "compiled False -> True" in warning
    assert warning.count("->") == 1


def test_tf32_is_refused_off_cuda(make_settings: MakeSettings) -> None:
    with pytest.raises(HardwareError, match=r"train\.precision: tf32 is .* the device is cpu; give auto, float32 or"):
        choose_hardware(make_settings(precision="tf32", device="cpu"), None)


def test_a_device_that_is_not_there_is_refused_with_those_that_are(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(HardwareError, match=r"train\.device: cuda is not available .* available: cpu\. Give one"):
        choose_hardware(make_settings(device="cuda"), None)
    assert choose_hardware(make_settings(device="auto"), None).device == "cpu"


@pytest.mark.parametrize(("threads", "warned"), [(2, False), (3, True)])
def test_more_threads_than_cores_are_warned_of(
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    threads: int,
    warned: bool,
) -> None:
    monkeypatch.setattr("celeba_gan.ranks.launched.available_cores", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert choose_hardware(make_settings(threads=threads, device="cpu"), None).threads == threads
    expected = f"train.threads is {threads}, and there are 2 cores to use: threads that share one take longer"
    assert (expected in caplog.messages) is warned
