"""Steps that are recorded and replayed against the same steps as they are.

CUDA graphs need CUDA. Here a tape takes their place: it notes every operation that a step has torch do, with its
arguments, and does them again on the very same tensors. As in a graph, a Python number is what it was when it was
recorded, so that whatever changes from step to step and does not come through a tensor shows.
"""

import copy
import logging
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from celeba_gan.gan.inputs.conditions import Conditions
from celeba_gan.gan.inputs.feed import ImageFeed, TrainingImages
from celeba_gan.gan.losses.objectives import Terms
from celeba_gan.gan.networks import layers
from celeba_gan.gan.runtime.graphs import Inputs
from celeba_gan.gan.runtime.hardware import HardwareError, check_hardware, choose_hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps

MakeSettings = Callable[..., TrainSettings]
ASKS_THE_DEVICE = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal", "aten::item"}
FROM_PYTHON = {"aten::lift_fresh"}  # torch.tensor of Python numbers: a copy from memory that is not pinned
NO_PENALTY: dict[str, Any] = {"gradient_penalty": {"weight": 0}}
R1_R2: dict[str, Any] = {**NO_PENALTY, "r1": {"weight": 1}, "r2": {"weight": 2}}
MOVING: dict[str, Any] = {"name": "linear", "warm_up_kimg": 0.03, "end_kimg": 0.12, "final": 0.1}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "schedules": {
        "penalty": {"gradient_penalty": {"weight": 10}, "drift": {"weight": 0.1}, "every": 3, "schedule": MOVING},
        "generator_optimizer": {"beta1": 0.5, "schedule": MOVING},
        "discriminator_optimizer": {"schedule": {"name": "cosine", "end_kimg": 0.1}},
    },
    "in parts": {"objective": {"name": "rpgan"}, "penalty": R1_R2, "micro_batch": 4, "clip_gradient_norm": 0.5},
    "bfloat16": {"precision": "bfloat16"},
    "cropped and mirrored": {"random_crop": 16, "mirror": True},
    "resident": {"random_crop": 16, "mirror": True, "data": "resident"},
    "diffaugment": {"objective": {"name": "non_saturating"}, "penalty": R1_R2, "augment": {"name": "diffaugment"}},
    "ada": {
        "objective": {"name": "hinge"},
        "penalty": R1_R2,
        "discriminator_optimizer": {"learning_rate": 0.02},
        "augment": {"name": "ada", "ada": {"speed_kimg": 0.5, "interval": 2, "target": 0.01}},
    },
    "ada with images of valid": {
        "discriminator_optimizer": {"learning_rate": 0.005},
        "augment": {"name": "ada", "ada": {"speed_kimg": 0.5, "interval": 2, "target": 0.01}},
        "micro_batch": 4,
    },
    "spectral norm": {
        "network": {"dcgan": {"width": 8}, "spectral_norm": True},
        "objective": {"name": "hinge"},
        "penalty": NO_PENALTY,
    },
    "weight clip": {"penalty": NO_PENALTY, "weight_clip": 0.05},
    "labels": {"objective": {"name": "rpgan"}, "penalty": R1_R2},
    "by autograd": {"network": {"name": "resnet", "resnet": {"width": 8, "max_width": 16}}},
    "article": {"network": {"name": "article", "article": {"width": 16}}, "objective": {"name": "non_saturating"},
                "penalty": NO_PENALTY},
}  # fmt: skip

SLOW = ("article", "ada", "bfloat16", "cropped and mirrored", "in parts", "labels", "weight clip")


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own class is not typed
    """Notes operations, and repeats them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        assert name not in ASKS_THE_DEVICE, f"{name} would have the host wait in the middle of a graph"
        assert name not in FROM_PYTHON, f"{name} would copy from the host's memory in the middle of a graph"
        noted = tree_map_only(Tensor, Tensor.detach, (args, kwargs or {}))  # with the shapes that they have now
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, *noted, tree_map_only(Tensor, Tensor.detach, result)))
        return result

    @torch.no_grad()
    def repeat(self) -> None:
        for func, args, kwargs, result in self.calls:
            if func.is_view or torch.Tag.inplace_view in func.tags:
                continue  # what it made still looks at the same memory
            made = func(*args, **kwargs)
            if func._schema.is_mutable:
                continue
            owned = {tensor.untyped_storage().data_ptr() for tensor in tensors_of((args, kwargs))}
            for old, new in zip(tensors_of(result), tensors_of(made), strict=True):
                if new.untyped_storage().data_ptr() not in owned:
                    old.copy_(new)


def tensors_of(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


class Recorder:
    """Records tapes."""

    def __init__(self) -> None:
        self.warmed_up = self.replayed = 0
        self.tapes: list[Tape] = []

    def warm_up(self, function: Callable[[], Terms]) -> Terms:
        self.warmed_up += 1
        return function()

    def record(self, function: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], object]]:
        with Tape() as tape:
            result = function()
        self.tapes.append(tape)

        def replay() -> None:
            self.replayed += 1
            tape.repeat()

        return result, replay


class Broken:
    """Records half of a step."""

    def warm_up(self, function: Callable[[], Terms]) -> Terms:
        return function()

    def record(self, function: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], object]]:
        raise RuntimeError("\noperation not permitted when stream is capturing\nand a long trace")


@pytest.fixture(autouse=True)
def as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU the last layer of `dcgan` is computed otherwise, with a table of Python numbers."""
    monkeypatch.setattr(layers, "_FEW", 0)


def make_steps(
    images: TrainingImages, settings: TrainSettings, recorder: Any = None, classes: int = 0
) -> tuple[Steps, ImageFeed]:
    """Steps, and the images they learn from."""
    hardware = choose_hardware(settings, None)
    conditions = Conditions.none()
    if classes:
        conditions = Conditions("class", [str(number) for number in range(classes)], np.arange(100) % classes)
    pair = Pair(settings, settings.network_size(images.size), hardware, classes or None)
    steps = Steps(settings, hardware, pair, recorder)
    if steps.augmentation.needs_valid:
        steps.valid = ImageFeed(settings, images, hardware, conditions, "valid")
    return steps, ImageFeed(settings, images, hardware, conditions)


def iterate(steps: Steps, feed: ImageFeed, iterations: int) -> list[dict[str, float]]:
    rows = []
    for iteration in range(iterations):
        terms = steps.iterate(feed, iteration, (iteration + 1) * steps.settings.images_per_iteration)
        rows.append({name: float(term) for name, term in terms.items()})
    return rows


def state(steps: Steps) -> dict[str, Tensor]:
    return copy.deepcopy(steps.pair.state_dict() | steps.augmentation.state_dict())


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert not [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]


@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in VARIANTS]
)
def test_replayed_steps_have_the_bits_of_ordinary_ones(
    images_at: Callable[[int], Any], make_settings: MakeSettings, variant: str
) -> None:
    settings = make_settings(**VARIANTS[variant])
    size = {"by autograd": 32, "article": 112, "cropped and mirrored": 32, "resident": 32}.get(variant, 16)
    images = images_at(size)
    classes = 3 if variant == "labels" else 0
    iterations = {"ada": 16, "ada with images of valid": 10, "by autograd": 6}.get(variant, 9)
    recorder = Recorder()
    plain, feed = make_steps(images, settings, classes=classes)
    recorded, same_feed = make_steps(images, settings, recorder, classes)
    expected, found = iterate(plain, feed, iterations), iterate(recorded, same_feed, iterations)
    assert recorder.replayed > 5
    assert found == expected
    assert_same(state(recorded), state(plain))
    if settings.augment.name == "ada":
        assert len({row["augment_p"] for row in found}) > 2


def test_each_kind_of_step_is_recorded_once(images: TrainingImages, make_settings: MakeSettings) -> None:
    settings = make_settings(penalty={**R1_R2, "every": 2}, n_critic=2)
    recorder = Recorder()
    steps, feed = make_steps(images, settings, recorder)
    iterate(steps, feed, 10)
    assert len(recorder.tapes) == 3  # with a penalty, without, and the generator's
    assert recorder.warmed_up == 3 * 2
    assert recorder.replayed == 3 * (10 - 2 - 1)


@pytest.mark.parametrize("variant", ["plain", pytest.param("article", marks=pytest.mark.slow)])
def test_once_broken_nothing_moves_any_more(
    images_at: Callable[[int], Any], make_settings: MakeSettings, variant: str
) -> None:
    recorder = Recorder()
    settings = make_settings(**VARIANTS[variant], n_critic=1)
    steps, feed = make_steps(images_at(112 if variant == "article" else 16), settings, recorder)
    iterate(steps, feed, 4)
    with torch.no_grad():
        next(iter(steps.pair.discriminator.parameters())).fill_(torch.nan)
    before = {name: tensor for name, tensor in state(steps).items() if not trained_statistics(name)}
    rows = iterate(steps, feed, 2)
    assert recorder.replayed == 2 * 3
    assert all(row["discriminator_loss"] != row["discriminator_loss"] for row in rows)
    assert steps.pair.broken == 1
    after = state(steps)
    assert not [
        name for name, tensor in before.items() if not torch.equal(tensor.nan_to_num(7), after[name].nan_to_num(7))
    ]


def trained_statistics(name: str) -> bool:
    """Those of batch norm in the networks that train, which every forward pass moves."""
    return not name.startswith("average") and ("running" in name or "batches" in name)


def test_steps_go_on_without_recording_where_it_fails_and_say_why_once(
    images: TrainingImages, make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings()
    plain, feed = make_steps(images, settings)
    failing, same_feed = make_steps(images, settings, Broken())
    with caplog.at_level(logging.WARNING):
        found = iterate(failing, same_feed, 5)
    assert found == iterate(plain, feed, 5)
    assert_same(state(failing), state(plain))
    assert not failing.graphs.works
    said = [record.getMessage() for record in caplog.records if record.name.endswith("graphs")]
    assert said == [
        "Training runs without CUDA graphs, which failed (RuntimeError: operation not permitted when stream is "
        "capturing). Its results are the same, it is only slower; train.graphs=false silences this"
    ]


def test_what_a_half_recorded_step_has_left_is_forgotten(images: TrainingImages, make_settings: MakeSettings) -> None:
    class LeavesGradients(Broken):
        def record(self, function: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], object]]:
            for parameter in steps.pair.discriminator.parameters():
                parameter.grad = torch.full_like(parameter, torch.nan)
            raise RuntimeError("out of memory")

    settings = make_settings()
    plain, feed = make_steps(images, settings)
    steps, same_feed = make_steps(images, settings, LeavesGradients())
    assert iterate(steps, same_feed, 5) == iterate(plain, feed, 5)
    assert_same(state(steps), state(plain))


def test_nothing_of_a_step_that_failed_is_alive_while_it_runs_again(
    images: TrainingImages, make_settings: MakeSettings
) -> None:
    """Where memory was too short to record it, what it has allocated must be free."""
    activations: list[weakref.ref[Tensor]] = []

    class OutOfMemory(Broken):
        def record(self, function: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], object]]:
            held = torch.zeros(1)
            activations.append(weakref.ref(held))
            raise RuntimeError("CUDA out of memory")

    steps, feed = make_steps(images, make_settings(), OutOfMemory())
    run = steps._update_discriminator

    def watched(*arguments: Any) -> Terms:
        assert all(reference() is None for reference in activations)
        return run(*arguments)

    steps._update_discriminator = watched  # type: ignore[method-assign]
    iterate(steps, feed, 3)
    assert len(activations) == 1
    assert not steps.graphs.works


def test_graphs_are_off_unless_requested_and_refused_where_there_are_none(make_settings: MakeSettings) -> None:
    assert not choose_hardware(make_settings(device="cpu"), None).graphs
    assert not choose_hardware(make_settings(device="cpu", graphs="auto"), None).graphs
    with pytest.raises(HardwareError, match=r"train\.graphs: CUDA graphs are NVIDIA's, and the device is cpu; give"):
        check_hardware(make_settings(device="cpu", graphs=True))


def test_inputs_keep_their_place_and_take_every_shape_and_dtype() -> None:
    generator = torch.Generator().manual_seed(0)

    def draws() -> Any:
        return {
            "pixels": torch.randint(256, (3, 5, 5, 3), dtype=torch.uint8, generator=generator),
            "noise": (torch.rand(3, 7, generator=generator), torch.rand(3, 0, generator=generator)),
            "chosen": (torch.rand(3, generator=generator) < 0.5, torch.randint(9, (2, 3), generator=generator)),
            "rate": torch.rand((), dtype=torch.float64, generator=generator),
        }

    inputs = Inputs(draws(), "cpu")
    places = [tensor.data_ptr() for tensor in tensors_of(inputs.draws)]
    for _ in range(3):
        given = draws()
        inputs.fill(given)
        for ours, theirs in zip(tensors_of(inputs.draws), tensors_of(given), strict=True):
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours, theirs)
        assert [tensor.data_ptr() for tensor in tensors_of(inputs.draws)] == places
    with pytest.raises(ValueError, match="other shapes"):
        inputs.fill({**draws(), "rate": torch.zeros(1, dtype=torch.float64)})
    with pytest.raises(ValueError, match="other shapes"):
        inputs.fill({"rate": torch.zeros((), dtype=torch.float64)})
