import copy
import gc
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from celeba_gan.gan.inputs import feed
from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.losses.discriminator import DiscriminatorLoss
from celeba_gan.gan.losses.objectives import make_objective
from celeba_gan.gan.losses.penalties import Penalty
from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.networks.config import NetworkError
from celeba_gan.gan.runs.cards import RunCard
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.snapshot import SNAPSHOT, Snapshot
from celeba_gan.gan.runtime.hardware import Hardware
from celeba_gan.gan.runtime.signals import SIGNALS
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training import steps
from celeba_gan.gan.training.loop import Tick, TrainingError, train
from celeba_gan.gan.training.pair import Pair, _adam

pytestmark = pytest.mark.usefixtures("two_iterations_a_tick")
MakeSettings = Callable[..., TrainSettings]


def run(images: TrainingImages, settings: TrainSettings, resumed: Snapshot | None = None) -> list[Tick]:
    """All ticks, with copies of their tensors: a tick's own are live."""
    return [replace(tick, snapshot=copy.deepcopy(tick.snapshot)) for tick in train(images, settings, resumed)]


def assert_same_tensors(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    different = [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]
    assert not different


def through_disk(snapshot: Snapshot, folder: Path) -> Snapshot:
    snapshot.save(folder / "state.safetensors")
    return Checkpoint.load(folder / "state.safetensors", SNAPSHOT, RunCard)


VARIANTS: dict[str, dict[str, Any]] = {
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "bfloat16"},
    "beta1": {"precision": "float32", "generator_optimizer": {"beta1": 0.5}, "discriminator_optimizer": {"beta1": 0.5}},
    "minimax": {
        "precision": "float32",
        "objective": {"name": "minimax"},
        "penalty": {"gradient_penalty": {"weight": 0}},
    },
    "uniform": {"precision": "float32", "latent": {"size": 8, "distribution": "uniform"}, "mirror": False},
    "lazy": {
        "precision": "float32",
        "objective": {"name": "rpgan"},
        "penalty": {"gradient_penalty": {"weight": 0}, "r1": {"weight": 1}, "r2": {"weight": 1}, "every": 3},
        "micro_batch": 4,
        "clip_gradient_norm": 1,
        "generator_optimizer": {"schedule": {"name": "cosine", "warm_up_kimg": 0.1, "end_kimg": 0.3}},
    },
    "clipped": {"precision": "float32", "penalty": {"gradient_penalty": {"weight": 0}}, "weight_clip": 0.05},
    "resident": {"precision": "float32", "data": "resident"},
}


@pytest.mark.parametrize(
    ("variant", "at"),
    [
        pytest.param(variant, at, marks=[] if at == 1 or variant == "float32" else pytest.mark.slow)
        for variant in VARIANTS
        for at in (0, 1, 3)
    ],
)
def test_resumed_run_is_bit_identical(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path, variant: str, at: int
) -> None:
    settings = make_settings(**VARIANTS[variant])
    undisturbed = run(images, settings)
    resumed = run(images, settings, through_disk(undisturbed[at].snapshot, tmp_path))
    assert_same_tensors(undisturbed[-1].snapshot.tensors, resumed[-1].snapshot.tensors)
    assert undisturbed[-1].snapshot.card == resumed[-1].snapshot.card
    assert np.array_equal(undisturbed[-1].samples, resumed[-1].samples)
    assert [tick.images for tick in resumed] == [tick.images for tick in undisturbed[at + 1 :]]


@pytest.mark.parametrize("data", ["stream", "resident"])
def test_random_crops_are_learnt_at_their_size_and_resumed_exactly_wherever_the_pixels_lie(
    images_at: Callable[[int], TrainingImages], make_settings: MakeSettings, tmp_path: Path, data: str
) -> None:
    images = images_at(20)
    settings = make_settings(precision="float32", random_crop=16, data="stream")
    undisturbed = run(images, settings)
    resumed = run(images, settings.model_copy(update={"data": data}), through_disk(undisturbed[1].snapshot, tmp_path))
    assert_same_tensors(undisturbed[-1].snapshot.tensors, resumed[-1].snapshot.tensors)
    assert undisturbed[-1].snapshot.card == resumed[-1].snapshot.card
    for card in (undisturbed[-1].snapshot.card, undisturbed[-1].networks.generator.card):
        assert (card.size, card.random_crop) == (16, 16)
    assert undisturbed[-1].samples.shape == (4, 16, 16, 3)


def test_random_crop_is_part_of_the_run_and_must_fit_into_the_images(
    images_at: Callable[[int], TrainingImages], make_settings: MakeSettings, tmp_path: Path
) -> None:
    images = images_at(64)
    state = through_disk(next(train(images, make_settings(random_crop=32))).snapshot, tmp_path)
    with pytest.raises(TrainingError, match=r"image size: 32 in [\s\S]*, 16 now\n  random_crop: 32 in .* 16 now"):
        next(train(images, make_settings(random_crop=16), state))
    with pytest.raises(TrainingError, match=r"random_crop: 32 in the snapshot, None now"):
        next(train(images, make_settings(), state))
    with pytest.raises(NetworkError, match=r"random_crop is 128 pixels, the packed images have 64; give at most 64"):
        next(train(images, make_settings(random_crop=128)))
    with pytest.raises(NetworkError, match=r"power of two from 16, the images are 48x48; set train\.random_crop to"):
        next(train(images, make_settings(random_crop=48)))


TRIED = [*(number for number in SIGNALS if isinstance(number, signal.Signals)), signal.SIGRTMIN + 2]


@pytest.mark.parametrize(
    "number",
    [pytest.param(one, marks=[] if one in (signal.SIGINT, signal.SIGTERM) else pytest.mark.slow) for one in TRIED],
    ids=lambda number: signal.strsignal(number),
)
def test_signal_saves_a_whole_state_from_which_the_run_carries_on_exactly(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path, number: int
) -> None:
    settings = make_settings()
    undisturbed = run(images, settings)

    def interrupt(shown: int, total: int) -> None:
        if shown == 120:  # in the middle of the second tick
            os.kill(os.getpid(), number)

    handlers = [signal.getsignal(one) for one in SIGNALS]
    stopped: list[Tick] = []
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit) as raised:
        stopped.extend(replace(t, snapshot=copy.deepcopy(t.snapshot)) for t in train(images, settings, None, interrupt))
    if number != signal.SIGINT:
        assert raised.value.code == 128 + number  # type: ignore[union-attr]
    assert [signal.getsignal(one) for one in SIGNALS] == handlers
    state = stopped[-1].snapshot
    assert (state.card.images, state.card.finished) == (120, False)
    resumed = run(images, settings, through_disk(state, tmp_path))
    assert_same_tensors(undisturbed[-1].snapshot.tensors, resumed[-1].snapshot.tensors)


def test_second_signal_aborts_at_once(images: TrainingImages, make_settings: MakeSettings) -> None:
    def interrupt(shown: int, total: int) -> None:
        if shown == 120:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    ticks = []
    with pytest.raises(KeyboardInterrupt):
        for tick in train(images, make_settings(), None, interrupt):
            ticks.append(tick.images)
    assert ticks == [0, 80]


def test_ticks_clock_and_rows(images: TrainingImages, make_settings: MakeSettings) -> None:
    settings = make_settings(batch_size=8, kimg=0.25, tick_kimg=0.1, rows_per_tick=2)
    ticks = run(images, settings)
    # An iteration shows 16 images; a tick ends with the first that reaches a multiple of 100.
    assert [tick.images for tick in ticks] == [0, 112, 208, 256]
    assert [tick.snapshot.card.finished for tick in ticks] == [False, False, False, True]
    assert [[row["images"] for row in tick.rows] for tick in ticks] == [[], [64, 112], [160, 208], [240, 256]]
    assert {
        "images",
        "discriminator_loss",
        "generator_loss",
        "score_real",
        "score_fake",
        "penalty",
        "images_per_second",
        "learning_rate_generator",
        "learning_rate_discriminator",
    } <= ticks[1].rows[0].keys()
    assert all(tick.samples.shape == (4, 16, 16, 3) and tick.samples.dtype == np.uint8 for tick in ticks)


def test_training_moves_both_networks_and_the_grid(images: TrainingImages, make_settings: MakeSettings) -> None:
    ticks = run(images, make_settings())
    first, last = ticks[0], ticks[-1]
    for name, tensor in first.snapshot.tensors.items():
        if name.split(".")[0] in ("generator", "discriminator", "average") and name.endswith("weight"):
            assert not torch.equal(tensor, last.snapshot.tensors[name]), name
    assert not np.array_equal(first.samples, last.samples)


@pytest.mark.parametrize(("refresh_every", "changes"), [(0, False), (2, True)])
def test_grid_noise_is_fixed_or_refreshed(
    images: TrainingImages, make_settings: MakeSettings, refresh_every: int, changes: bool
) -> None:
    """With learning rates too small to change a pixel, only new noise changes the grid."""
    still = {"learning_rate": 1e-12}
    grid = {"rows": 1, "columns": 4, "refresh_every": refresh_every}
    ticks = run(images, make_settings(generator_optimizer=still, discriminator_optimizer=still, grid=grid))
    # 0, 2, 4, 6 and 8 generator updates
    assert all(np.array_equal(tick.samples, ticks[0].samples) != changes for tick in ticks[1:])


def test_enough_is_enough_and_more_carries_on(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_settings()
    finished = run(images, settings)[-1]
    state = through_disk(finished.snapshot, tmp_path)
    for kimg in (0.32, 0.1):
        (again,) = run(images, settings.model_copy(update={"kimg": kimg}), state)
        assert again.rows == []
        assert again.snapshot.card == finished.snapshot.card
        assert_same_tensors(again.snapshot.tensors, finished.snapshot.tensors)
        assert np.array_equal(again.samples, finished.samples)
    longer = settings.model_copy(update={"kimg": 0.48})
    assert_same_tensors(run(images, longer, state)[-1].snapshot.tensors, run(images, longer)[-1].snapshot.tensors)


def test_resuming_says_from_where_and_that_initial_weights_are_ignored(
    images: TrainingImages, make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    state = run(images, make_settings())[1].snapshot
    with caplog.at_level(logging.INFO, "celeba_gan.gan.training.loop"):
        next(train(images, make_settings(init_from="other"), state))
    assert f"Resuming from the snapshot at {state.card.images} images, up to 320" in caplog.messages
    assert "Ignoring train.init_from" in caplog.text


def test_another_run_is_refused_naming_both_values_and_the_way_out(
    images: Any, make_settings: MakeSettings, tmp_path: Path
) -> None:
    state = through_disk(run(images, make_settings(kimg=0.08))[-1].snapshot, tmp_path)
    with pytest.raises(TrainingError, match=r"batch_size: 20 in the snapshot, 16 now[\s\S]*experiment=NAME"):
        next(train(images, make_settings(batch_size=16), state))
    with pytest.raises(TrainingError, match=r"network\.dcgan\.width: 8 in the snapshot, 4 now"):
        next(train(images, make_settings(network={"dcgan": {"width": 4}}), state))
    with pytest.raises(TrainingError, match=r"penalty\.r1\.weight: 0\.0 in the snapshot, 1\.0 now"):
        next(train(images, make_settings(penalty={"r1": {"weight": 1}}), state))
    with pytest.raises(TrainingError, match=r"weight_clip: None in the snapshot, 0\.01 now"):
        clipped = {"penalty": {"gradient_penalty": {"weight": 0}}, "weight_clip": 0.01}
        next(train(images, make_settings(**clipped), state))
    # The other variant's fields are ignored.
    next(train(images, make_settings(network={"dcgan": {"width": 8}, "article": {"width": 32}}), state))
    images.digest = "other"
    with pytest.raises(TrainingError, match="packed images: digest random-16 in the snapshot, other now"):
        next(train(images, make_settings(), state))


def test_lengths_ticks_and_learning_rates_may_change(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path
) -> None:
    state = through_disk(run(images, make_settings(kimg=0.08))[-1].snapshot, tmp_path)
    changed = make_settings(kimg=0.2, tick_kimg=0.05, generator_optimizer={"learning_rate": 1e-3})
    ticks = run(images, changed, state)
    assert ticks[-1].images == 200
    assert ticks[-1].rows[-1]["learning_rate_generator"] == 1e-3


@pytest.mark.parametrize(
    ("where", "network"),
    [
        pytest.param(where, network, marks=[] if network == "dcgan" else pytest.mark.slow)
        for network in ("dcgan", "article")
        for where in ("real images", "latents", "discriminator's gradient", "generator's gradient")
    ],
)
def test_nan_stops_the_run_and_never_reaches_the_weights_or_the_disk(
    images_at: Callable[[int], TrainingImages],
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    network: str,
) -> None:
    """It appears in the middle of the second tick; the last tick is what remains, and no weight has changed since."""
    images = images_at(112 if network == "article" else 16)
    settings = make_settings(
        network={"name": network, "dcgan": {"width": 8}, "article": {"width": 16}},
        batch_size=2,
        kimg=0.016,
        tick_kimg=0.008,
        precision="float32",
    )
    seen: list[Pair] = []
    calls = 0
    good, good_add, good_draw, clean = Pair.backward, Pair.add_gradients, steps.draw_latents, feed.from_uint8

    def third_of_the_second_tick(kind: str) -> bool:
        nonlocal calls
        calls += kind == where
        return kind == where and calls == {"discriminator's gradient": 6, "generator's gradient": 3}.get(where, 8)

    def backward(self: Pair, loss: Tensor, network: nn.Module) -> None:
        seen.append(self)
        name = "discriminator" if network is self.discriminator else "generator"
        good(self, loss * float("nan") if third_of_the_second_tick(f"{name}'s gradient") else loss, network)

    def add_gradients(self: Pair, gradients: dict[str, Tensor], share: float, loss: Tensor) -> None:
        seen.append(self)
        factor = float("nan") if third_of_the_second_tick("discriminator's gradient") else 1
        good_add(self, {name: gradient * factor for name, gradient in gradients.items()}, share, loss)

    def draw_latents(latent: Any, count: int, generator: Any) -> Tensor:
        factor = float("inf") if count == 2 and third_of_the_second_tick("latents") else 1
        return good_draw(latent, count, generator) * factor

    def from_uint8(pixels: Tensor) -> Tensor:
        return clean(pixels) * (float("inf") if third_of_the_second_tick("real images") else 1)

    monkeypatch.setattr(Pair, "backward", backward)
    monkeypatch.setattr(Pair, "add_gradients", add_gradients)
    monkeypatch.setattr(steps, "draw_latents", draw_latents)
    monkeypatch.setattr(feed, "from_uint8", from_uint8)
    ticks = []
    with pytest.raises(TrainingError, match=r"became (nan|-?inf) after 8 images[\s\S]*\(8 images\) is intact"):
        for tick in train(images, settings):
            ticks.append(replace(tick, snapshot=copy.deepcopy(tick.snapshot)))
    assert [tick.images for tick in ticks] == [0, 8]
    assert all(torch.isfinite(tensor).all() for tensor in ticks[-1].snapshot.tensors.values())
    parameters = [
        *seen[-1].generator.parameters(),
        *seen[-1].discriminator.parameters(),
        *seen[-1].average.parameters(),
    ]
    assert all(torch.isfinite(parameter).all() for parameter in parameters)
    assert seen[-1].broken == 1


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "MPS"])
def test_once_broken_nothing_moves_any_more(make_settings: MakeSettings, fused: bool) -> None:
    pair = Pair(
        make_settings(),
        16,
        Hardware(device="cpu", device_name="", precision="float32", threads=1, torch=torch.__version__),
    )
    if not fused:
        pair._fused = False
        pair.optimizers["generator"] = _adam(pair.generator, make_settings().generator_optimizer, fused=False)
        pair.optimizers["discriminator"] = _adam(pair.discriminator, make_settings().generator_optimizer, fused=False)

    def step(factor: float) -> None:
        pair.backward(pair.discriminator(torch.rand(2, 3, 16, 16)).mean() * factor, pair.discriminator)
        pair.step_discriminator()
        pair.backward(pair.discriminator(pair.generator(torch.rand(2, 8))).mean() * factor, pair.generator)
        pair.step_generator()
        pair.update_average(torch.tensor(0.5))

    step(1)
    before = copy.deepcopy(pair.state_dict())
    step(1)
    assert any(not torch.equal(before[name], tensor) for name, tensor in pair.state_dict().items())
    before = copy.deepcopy(pair.state_dict())
    step(float("nan"))
    step(1)
    assert_same_tensors(before, pair.state_dict())


def test_average_is_its_closed_form(images: TrainingImages, make_settings: MakeSettings) -> None:
    settings = make_settings(
        ema={"half_life_kimg": 0.02, "ramp_up": 0.5}, precision="float32", batch_size=8, tick_kimg=0.016
    )
    ticks = run(images, settings)
    name = "layers.0.weight"
    expected = ticks[0].snapshot.tensors[f"generator.{name}"]
    for tick in ticks[1:]:
        decay = 0.5 ** (16 / min(20, 0.5 * tick.images))
        expected = expected * decay + tick.snapshot.tensors[f"generator.{name}"] * (1 - decay)
    torch.testing.assert_close(ticks[-1].snapshot.tensors[f"average.{name}"], expected)
    assert torch.equal(ticks[-1].networks.generator.tensors[name], ticks[-1].snapshot.tensors[f"average.{name}"])


def test_gradients_of_one_network_leave_the_other_alone(make_settings: MakeSettings) -> None:
    settings = make_settings()
    pair = Pair(
        settings, 16, Hardware(device="cpu", device_name="", precision="float32", threads=1, torch=torch.__version__)
    )
    before = copy.deepcopy(pair.state_dict())
    images = pair.generator(torch.randn(2, 8))
    pair.backward(pair.discriminator(images.detach()).mean(), pair.discriminator)
    pair.step_discriminator()
    after = pair.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"discriminator"}
    before = copy.deepcopy(pair.state_dict())
    pair.backward(pair.discriminator(pair.generator(torch.randn(2, 8))).mean(), pair.generator)
    pair.step_generator()
    after = pair.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"generator"}


def test_steps_equal_those_of_a_textbook_loop(images: TrainingImages, make_settings: MakeSettings) -> None:
    """The same losses and draws with plain Adam on contiguous weights: no fused kernel, no memory format."""
    settings = make_settings(precision="float32", threads=1)
    hardware = Hardware(device="cpu", device_name="", precision="float32", threads=1, torch=torch.__version__)
    ours = Pair(settings, 16, hardware)
    generator = build_generator(settings.network, settings.latent, 16)
    discriminator = build_discriminator(settings.network, 16)
    generator.load_state_dict(ours.generator.state_dict())
    discriminator.load_state_dict(ours.discriminator.state_dict())
    adams = [torch.optim.Adam(net.parameters(), lr=4e-4, betas=(0.0, 0.9)) for net in (generator, discriminator)]
    losses = DiscriminatorLoss(make_objective("wgan"), Penalty(settings.penalty))
    for step in range(20):
        torch.manual_seed(step)
        real, latents, epsilon = torch.rand(4, 3, 16, 16), torch.randn(4, 8), torch.rand(4)
        fake = ours.generator(latents).detach()
        with torch.no_grad():
            drawn = real, fake, epsilon, torch.ones(())
            terms, found = losses.gradients(ours.discriminator, None, *drawn, penalised=True, dtype=torch.float32)
        ours.add_gradients(found, 1, terms["loss"])
        ours.step_discriminator()
        ours.backward(-ours.discriminator(ours.generator(latents)).mean(), ours.generator)
        ours.step_generator()

        fake = generator(latents).detach()
        loss = discriminator(fake).mean() - discriminator(real).mean()
        mixed = torch.lerp(fake, real, epsilon[:, None, None, None]).requires_grad_()
        (slopes,) = torch.autograd.grad(discriminator(mixed).sum(), mixed, create_graph=True)
        adams[1].zero_grad()
        (loss + 10 * (slopes.flatten(1).norm(dim=1) - 1).square().mean()).backward()
        adams[1].step()
        adams[0].zero_grad()
        (-discriminator(generator(latents)).mean()).backward()
        adams[0].step()
    for net, reference in ((ours.generator, generator), (ours.discriminator, discriminator)):
        for parameter, expected in zip(net.parameters(), reference.parameters(), strict=True):
            # Adam divides by the gradient's size, so rounding in tiny gradients moves a weight by up to a step.
            assert (parameter - expected).abs().mean() < 2e-5


def test_same_seed_same_weights_other_seed_others(images: TrainingImages, make_settings: MakeSettings) -> None:
    settings = make_settings(kimg=0.05, tick_kimg=0.05)
    torch.manual_seed(1)
    first = run(images, settings)[-1]
    torch.manual_seed(2)  # torch's global generator has no say
    assert_same_tensors(first.snapshot.tensors, run(images, settings)[-1].snapshot.tensors)
    other = run(images, settings.model_copy(update={"seed": 1}))[-1]
    assert not np.array_equal(first.samples, other.samples)


def test_training_leaves_the_global_generator_alone(images: TrainingImages, make_settings: MakeSettings) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    run(images, make_settings(kimg=0.05, tick_kimg=0.05))
    assert torch.equal(torch.rand(3), expected)


def test_articles_batch_norm_average_is_measured_with_trained_statistics(
    images_at: Callable[[int], TrainingImages], make_settings: MakeSettings
) -> None:
    settings = make_settings(
        network={"name": "article", "article": {"width": 16}},
        batch_size=8,
        kimg=0.032,
        tick_kimg=0.016,
        precision="float32",
    )
    last = run(images_at(112), settings)[-1]
    for name, tensor in last.snapshot.tensors.items():
        if name.startswith("average.") and "running" in name:
            assert torch.equal(tensor, last.snapshot.tensors[name.replace("average.", "generator.")])


@pytest.mark.parametrize(
    ("objective", "weight"),
    [pytest.param("minimax", 0.0, id="minimax"), pytest.param("wgan", 10.0, id="wgan_gp", marks=pytest.mark.slow)],
)
def test_article_trains_and_resumes_exactly_under_both_objectives(
    images_at: Callable[[int], TrainingImages],
    make_settings: MakeSettings,
    tmp_path: Path,
    objective: str,
    weight: float,
) -> None:
    settings = make_settings(
        network={"name": "article", "article": {"width": 16}},
        objective={"name": objective},
        penalty={"gradient_penalty": {"weight": weight}},
        batch_size=2,
        kimg=0.012,
        tick_kimg=0.004,
        precision="float32",
    )
    undisturbed = run(images_at(112), settings)
    resumed = run(images_at(112), settings, through_disk(undisturbed[1].snapshot, tmp_path))
    assert_same_tensors(undisturbed[-1].snapshot.tensors, resumed[-1].snapshot.tensors)
    assert not np.array_equal(undisturbed[0].samples, undisturbed[-1].samples)


def test_a_clock_that_jumps_changes_nothing(
    images: TrainingImages, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run(images, make_settings())
    jumps = iter([-3e8, 3e8] * 100_000)
    monkeypatch.setattr("time.time", lambda: 1e9 + next(jumps))
    jumping = run(images, make_settings())
    assert_same_tensors(jumping[-1].snapshot.tensors, undisturbed[-1].snapshot.tensors)
    speeds = [row["images_per_second"] for tick in jumping for row in tick.rows if "images_per_second" in row]
    assert speeds
    assert all(0 < speed < 1e7 for speed in speeds)


def test_nothing_of_an_iteration_outlives_it(images: TrainingImages, make_settings: MakeSettings) -> None:
    """Neither a tensor nor a graph: memory is the same after ten iterations and after a thousand."""

    def alive() -> int:
        gc.collect()
        return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())

    gc.freeze()  # the modules and all that other tests have left: else each count takes a second
    try:
        found = [alive() for _ in train(images, make_settings(kimg=0.64, tick_kimg=0.08))]
    finally:
        gc.unfreeze()
    assert found[2:] == [found[2]] * (len(found) - 2)
    assert len(found) >= 6
