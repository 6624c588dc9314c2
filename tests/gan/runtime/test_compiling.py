"""Compiled losses against eager ones, and what happens where compilation fails."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.losses.objectives import Terms
from celeba_gan.gan.losses.registry import OBJECTIVES
from celeba_gan.gan.runtime.compiling import Compiler
from celeba_gan.gan.runtime.hardware import Hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import train
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps, _gradients

MakeSettings = Callable[..., TrainSettings]
HARDWARE = Hardware(
    device="cpu", device_name="", precision="float32", threads=1, torch=torch.__version__, compiled=True
)
NO_PENALTY: dict[str, Any] = {"gradient_penalty": {"weight": 0}}
PENALTIES: dict[str, dict[str, Any]] = {
    "none": NO_PENALTY,
    "gradient_penalty": {"gradient_penalty": {"weight": 10}},
    "r1_r2": {**NO_PENALTY, "r1": {"weight": 1}, "r2": {"weight": 2}},
    "all": {"gradient_penalty": {"weight": 10}, "r1": {"weight": 1}, "r2": {"weight": 2}, "drift": {"weight": 0.1}},
}
OTHERS: dict[str, dict[str, Any]] = {
    "spectral_norm": {"network": {"dcgan": {"width": 8}, "spectral_norm": True}},
    "labels": {},
    "micro_batch": {"micro_batch": 4},
    "diffaugment": {"augment": {"name": "diffaugment"}},
    "ada": {"augment": {"name": "ada", "ada": {"p": 0.5}}},
}

QUICK = ("rpgan", "all")
"""The rest are slow."""

SWITCHED_OFF = dict.fromkeys(("scaling", "rotation", "anisotropic_scaling", "fractional_translation", "hue"), 0)


@pytest.fixture(autouse=True)
def nothing_compiled_before() -> Iterator[None]:
    """torch keeps what it compiled with the code, for all tests, and gives up after eight times."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def steps_in_float64(settings: TrainSettings, classes: int | None = None) -> Steps:
    size = 32 if settings.network.name in ("resnet", "r3") else 16
    pair = Pair(settings, size, HARDWARE, classes)
    for network in (pair.generator, pair.discriminator):
        network.double()
        with torch.no_grad():  # what starts at zero would hide its gradient
            for parameter in network.parameters():
                parameter += 0.01 * torch.randn(
                    parameter.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(parameter.numel())
                )
    return Steps(settings, HARDWARE, pair)


def inputs(steps: Steps, classes: int | None) -> list[Any]:
    """Of a discriminator step, all but `penalised`."""
    settings, draws = steps.settings, torch.Generator().manual_seed(0)
    count = settings.micro_batch or settings.batch_size
    size = 32 if settings.network.name in ("resnet", "r3") else 16
    real = torch.rand(count, size, size, 3, dtype=torch.float64, generator=draws).permute(0, 3, 1, 2) * 2 - 1
    labels = torch.eye(classes, dtype=torch.float64).repeat(count, 1)[:count] if classes else torch.zeros(count, 0)
    z = torch.randn(count, settings.latent.size, dtype=torch.float64, generator=draws)
    mix = torch.rand(count, dtype=torch.float64, generator=draws)
    noise = [change[:count] for purpose in ("reals", "fakes") for change in steps._augmentation(purpose, 0)]
    return [real, labels, z, mix, noise]


def gradients(steps: Steps, compiler: Compiler, classes: int | None, who: str) -> tuple[list[Tensor], Terms]:
    """Of a network, and the terms of its loss."""
    real, labels, z, mix, noise = inputs(steps, classes)
    if who != "generator":
        steps._passes = who == "discriminator"
        factor = torch.tensor(1.0, dtype=torch.float64)
        terms, by_name = compiler.wrap(steps.discriminator_terms, lambda found: None)(
            real, labels, z, mix, noise[:2], noise[2:], factor, steps.penalty.is_due(0)
        )
        if by_name is not None:
            return list(by_name.values()), terms
        found = _gradients(terms["loss"] + terms.get("penalty", 0), steps.pair.discriminator)
    else:
        terms = {"loss": compiler.wrap(steps.generator_loss, lambda loss: None)(real, labels, z, noise[:2], noise[2:])}
        found = _gradients(terms["loss"], steps.pair.generator)
    return [gradient for gradient in found if gradient is not None], terms


def assert_compiled_equals_eager(
    settings: TrainSettings, *networks: str, backend: str = "aot_eager", classes: int | None = None
) -> None:
    for who in networks or ("discriminator", "discriminator by autograd", "generator"):
        steps, compiler = steps_in_float64(settings, classes), Compiler(works=True)
        compiler.backend = backend
        ours, our_terms = gradients(steps, compiler, classes, who)
        assert compiler.works
        theirs, their_terms = gradients(steps, Compiler(works=False), classes, who)
        torch.testing.assert_close(our_terms, their_terms, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
        assert any(bool(gradient.any()) for gradient in theirs)


@pytest.mark.parametrize(
    ("objective", "penalty"),
    [
        pytest.param(name, penalty, marks=[] if (name, penalty) == QUICK else pytest.mark.slow)
        for name in OBJECTIVES
        for penalty in PENALTIES
    ],
)
def test_every_objective_with_every_penalty_is_the_same_compiled(
    make_settings: MakeSettings, objective: str, penalty: str
) -> None:
    bound = {"weight_clip": 0.1} if penalty == "none" else {}  # WGAN needs one
    settings = make_settings(objective={"name": objective}, penalty=PENALTIES[penalty], **bound)
    assert_compiled_equals_eager(settings, "discriminator")


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_generator_loss_is_the_same_compiled(make_settings: MakeSettings, objective: str) -> None:
    assert_compiled_equals_eager(make_settings(objective={"name": objective}), "generator")


@pytest.mark.slow
@pytest.mark.parametrize(
    "other",
    [pytest.param(name, marks=pytest.mark.slow) if name != "labels" else name for name in OTHERS],
)
def test_so_it_is_with_all_that_may_be_around_them(make_settings: MakeSettings, other: str) -> None:
    settings = make_settings(objective={"name": "rpgan"}, penalty=PENALTIES["all"], **OTHERS[other])
    assert_compiled_equals_eager(settings, classes=3 if other == "labels" else None)


@pytest.mark.parametrize(
    ("network", "more", "steps"),
    [
        pytest.param("resnet", {}, ("discriminator by autograd", "generator"), marks=pytest.mark.slow),
        pytest.param("resnet", {"discriminator_norm": "none"}, ("discriminator",), marks=pytest.mark.slow),
        pytest.param("r3", {"blocks": 1, "group_size": 8}, ("discriminator", "generator"), marks=pytest.mark.slow),
    ],
)
def test_so_it_is_with_the_other_networks(
    make_settings: MakeSettings, network: str, more: dict[str, Any], steps: tuple[str, ...]
) -> None:
    sizes = {"width": 8, "max_width": 16, **more}
    settings = make_settings(network={"name": network, network: sizes}, batch_size=2)
    assert_compiled_equals_eager(settings, *steps)


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "penalty"), [("wgan", "gradient_penalty"), ("rpgan", "r1_r2")])
def test_so_it_is_with_the_real_compiler(make_settings: MakeSettings, objective: str, penalty: str) -> None:
    settings = make_settings(objective={"name": objective}, penalty=PENALTIES[penalty])
    assert_compiled_equals_eager(settings, backend="inductor")


def iterate(images: TrainingImages, settings: TrainSettings) -> list[dict[str, float]]:
    return [row for tick in train(images, settings) for row in tick.rows]


@pytest.mark.slow
def test_nothing_is_compiled_twice_in_a_run_whose_schedules_and_augmentation_move(
    images: TrainingImages, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = CompileCounterWithBackend("eager")
    monkeypatch.setattr(Compiler, "backend", staticmethod(counter))
    moving = {"name": "linear", "end_kimg": 0.3, "warm_up_kimg": 0.05}
    settings = make_settings(
        precision="float32",
        micro_batch=4,
        objective={"name": "hinge"},
        penalty={**PENALTIES["r1_r2"], "every": 3, "schedule": moving},
        generator_optimizer={"schedule": moving},
        augment={"name": "ada", "ada": {"speed_kimg": 1, "interval": 1, "target": 0.01, **SWITCHED_OFF}},
        rows_per_tick=5,
    )
    eager = iterate(images, settings)
    compiled = iterate(images, settings.model_copy(update={"compile": True}))
    assert counter.frame_count == 3  # discriminator steps with and without a penalty, and the generator's
    assert len({row["augment_p"] for row in compiled}) > 1
    for ours, theirs in zip(compiled, eager, strict=True):
        for name in theirs.keys() - {"images_per_second"}:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-2, abs=1e-3), name


def failing(graph: Any, inputs: Any) -> Callable[..., Any]:
    raise ImportError("\nno compiler here\nand a long trace")


def test_training_goes_on_without_a_compiler_that_fails_and_says_why_once(
    images: TrainingImages,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Compiler, "backend", staticmethod(failing))
    settings = make_settings(precision="float32", kimg=0.08)
    with caplog.at_level(logging.WARNING):
        rows = iterate(images, settings.model_copy(update={"compile": True}))
    assert [message for message in caplog.messages if not message.startswith("The train split has only")] == [
        "Training runs without torch.compile, which failed (BackendCompilerFailed: backend='failing' raised:). "
        "Its results are as good, it is only slower; train.compile=false silences this"
    ]
    for ours, theirs in zip(rows, iterate(images, settings), strict=True):
        assert {**ours, "images_per_second": 0} == {**theirs, "images_per_second": 0}


@pytest.mark.slow
def test_so_it_does_where_there_is_no_cpp_compiler(
    images: TrainingImages,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(torch._inductor.config, "force_disable_caches", True)
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    with caplog.at_level(logging.WARNING):
        assert iterate(images, make_settings(precision="float32", kimg=0.08, compile=True))
    (said,) = [record.getMessage() for record in caplog.records if "torch.compile" in record.getMessage()]
    assert "no-such-compiler" in said


def test_what_is_wrong_without_the_compiler_too_is_no_fault_of_the_compiler(caplog: pytest.LogCaptureFixture) -> None:
    compiler = Compiler(works=True)
    compiler.backend = "aot_eager"
    product = compiler.wrap(lambda first, second: first @ second, lambda result: None)
    with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 2x3\)"):
        product(torch.ones(2, 3), torch.ones(2, 3))
    assert compiler.works
    assert "torch.compile" not in caplog.text


def test_a_full_memory_is_no_fault_of_the_compiler_either() -> None:
    def full(*arguments: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    compiler, calls = Compiler(works=True), 0

    def double(value: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return value * 2

    compiler.backend = lambda graph, inputs: full
    with pytest.raises(torch.OutOfMemoryError):
        compiler.wrap(double, lambda result: None)(torch.ones(2))
    assert compiler.works
    assert calls == 0


def test_values_that_are_not_finite_pass_through() -> None:
    compiler = Compiler(works=True)
    compiler.backend = "aot_eager"
    assert compiler.wrap(torch.log, lambda result: None)(torch.tensor([-1.0, 0.0])).isnan().tolist() == [True, False]
    assert compiler.works
