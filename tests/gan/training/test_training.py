import copy
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
from torch import Tensor

from celeba_gan.gan.inputs import feed
from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.losses.penalties import Penalty
from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.networks.config import NetworkError
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runtime.hardware import Hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training import steps
from celeba_gan.gan.training.loop import Tick, TrainingError, train
from celeba_gan.gan.training.players import Players, _adam

MakeSettings = Callable[..., TrainSettings]


def run(images: TrainingImages, settings: TrainSettings, resumed: Checkpoint | None = None) -> list[Tick]:
    """All ticks, with copies of their tensors: a tick's own are live."""
    return [
        replace(tick, state=copy.deepcopy(tick.state), generator=copy.deepcopy(tick.generator))
        for tick in train(images, settings, resumed)
    ]


def assert_same_tensors(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    different = [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]
    assert not different


def through_disk(state: Checkpoint, folder: Path) -> Checkpoint:
    state.save(folder / "state.safetensors")
    return Checkpoint.load(folder / "state.safetensors", "training_state")


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


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("at", [0, 1, 3])
def test_resumed_run_is_bit_identical(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path, variant: str, at: int
) -> None:
    settings = make_settings(**VARIANTS[variant])
    undisturbed = run(images, settings)
    resumed = run(images, settings, through_disk(undisturbed[at].state, tmp_path))
    assert_same_tensors(undisturbed[-1].state.tensors, resumed[-1].state.tensors)
    assert undisturbed[-1].state.card == resumed[-1].state.card
    assert np.array_equal(undisturbed[-1].samples, resumed[-1].samples)
    assert [tick.images for tick in resumed] == [tick.images for tick in undisturbed[at + 1 :]]


@pytest.mark.parametrize("data", ["stream", "resident"])
def test_random_crops_are_learnt_at_their_size_and_resumed_exactly_wherever_the_pixels_lie(
    images_at: Callable[[int], TrainingImages], make_settings: MakeSettings, tmp_path: Path, data: str
) -> None:
    images = images_at(20)
    settings = make_settings(precision="float32", random_crop=16, data="stream")
    undisturbed = run(images, settings)
    resumed = run(images, settings.model_copy(update={"data": data}), through_disk(undisturbed[1].state, tmp_path))
    assert_same_tensors(undisturbed[-1].state.tensors, resumed[-1].state.tensors)
    assert undisturbed[-1].state.card == resumed[-1].state.card
    for checkpoint in (undisturbed[-1].state, undisturbed[-1].generator, undisturbed[-1].discriminator):
        assert (checkpoint.card["size"], checkpoint.card["random_crop"]) == (16, 16)
    assert undisturbed[-1].samples.shape == (4, 16, 16, 3)


def test_random_crop_is_part_of_the_run_and_must_fit_into_the_images(
    images_at: Callable[[int], TrainingImages], make_settings: MakeSettings, tmp_path: Path
) -> None:
    images = images_at(64)
    state = through_disk(next(train(images, make_settings(random_crop=32))).state, tmp_path)
    with pytest.raises(TrainingError, match=r"image size: 32 in [\s\S]*, 16 now\n  random_crop: 32 in .* 16 now"):
        next(train(images, make_settings(random_crop=16), state))
    with pytest.raises(TrainingError, match=r"random_crop: 32 in the saved state, None now"):
        next(train(images, make_settings(), state))
    with pytest.raises(NetworkError, match=r"random_crop is 128 pixels, the packed images have 64; give at most 64"):
        next(train(images, make_settings(random_crop=128)))
    with pytest.raises(NetworkError, match=r"power of two from 16, the images are 48x48; set train\.random_crop to"):
        next(train(images, make_settings(random_crop=48)))


@pytest.mark.parametrize("objective", ["wgan", "minimax"])
def test_state_of_format_version_1_is_carried_on_to_the_same_bits(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path, objective: str
) -> None:
    weight = 10.0 if objective == "wgan" else 0.0
    settings = make_settings(objective={"name": objective}, penalty={"gradient_penalty": {"weight": weight}})
    undisturbed = run(images, settings)
    old = copy.deepcopy(undisturbed[1].state)
    kept = {"name": "gradient_penalty", "gradient_penalty": {"weight": 10.0, "target": 1.0}}
    old.card["identity"]["penalty"] = kept if weight else {"name": "none"}  # as it was written
    del old.card["identity"]["weight_clip"]
    old.card["format_version"] = 1
    state = through_disk(old, tmp_path)
    resumed = run(images, settings, state)
    assert_same_tensors(undisturbed[-1].state.tensors, resumed[-1].state.tensors)
    assert undisturbed[-1].state.card == resumed[-1].state.card
    with pytest.raises(TrainingError, match=r"penalty\.r1\.weight: 0\.0 in the saved state, 1\.0 now"):
        penalty = {"gradient_penalty": {"weight": weight}, "r1": {"weight": 1}}
        next(train(images, make_settings(objective={"name": objective}, penalty=penalty), state))
    with pytest.raises(TrainingError, match=r"weight_clip: None in the saved state, 0\.01 now"):
        clipped = {"penalty": {"gradient_penalty": {"weight": 0}}, "weight_clip": 0.01}
        next(train(images, make_settings(objective={"name": objective}, **clipped), state))


def test_state_saved_before_there_were_crops_is_carried_on(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path
) -> None:
    undisturbed = run(images, make_settings())
    state = through_disk(undisturbed[1].state, tmp_path)
    del state.card["random_crop"], state.card["identity"]["random_crop"]  # as it was
    resumed = run(images, make_settings(), state)
    assert_same_tensors(undisturbed[-1].state.tensors, resumed[-1].state.tensors)
    assert undisturbed[-1].state.card == resumed[-1].state.card
    with pytest.raises(TrainingError, match=r"random_crop: None in the saved state, 16 now"):
        next(train(images, make_settings(random_crop=16), state))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_a_whole_state_from_which_the_run_carries_on_exactly(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path, number: int
) -> None:
    settings = make_settings()
    undisturbed = run(images, settings)

    def interrupt(shown: int, total: int) -> None:
        if shown == 112:  # in the middle of the second tick
            os.kill(os.getpid(), number)

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stopped: list[Tick] = []
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit) as raised:
        stopped.extend(replace(t, state=copy.deepcopy(t.state)) for t in train(images, settings, None, interrupt))
    if number == signal.SIGTERM:
        assert raised.value.code == 143  # type: ignore[union-attr]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    state = stopped[-1].state
    assert (state.card["images"], state.card["finished"]) == (112, False)
    resumed = run(images, settings, through_disk(state, tmp_path))
    assert_same_tensors(undisturbed[-1].state.tensors, resumed[-1].state.tensors)


def test_second_signal_aborts_at_once(images: TrainingImages, make_settings: MakeSettings) -> None:
    def interrupt(shown: int, total: int) -> None:
        if shown == 112:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    ticks = []
    with pytest.raises(KeyboardInterrupt):
        for tick in train(images, make_settings(), None, interrupt):
            ticks.append(tick.images)
    assert ticks == [0, 80]


def test_ticks_clock_and_rows(images: TrainingImages, make_settings: MakeSettings) -> None:
    settings = make_settings(kimg=0.25, tick_kimg=0.1, rows_per_tick=2)
    ticks = run(images, settings)
    # An iteration shows 16 images; a tick ends with the first that reaches a multiple of 100.
    assert [tick.images for tick in ticks] == [0, 112, 208, 256]
    assert [tick.state.card["finished"] for tick in ticks] == [False, False, False, True]
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
    for name, tensor in first.state.tensors.items():
        if name.split(".")[0] in ("generator", "discriminator", "average") and name.endswith("weight"):
            assert not torch.equal(tensor, last.state.tensors[name]), name
    assert not np.array_equal(first.samples, last.samples)


@pytest.mark.parametrize(("refresh_every", "changes"), [(0, False), (5, True)])
def test_grid_noise_is_fixed_or_refreshed(
    images: TrainingImages, make_settings: MakeSettings, refresh_every: int, changes: bool
) -> None:
    """With learning rates too small to change a pixel, only new noise changes the grid."""
    still = {"learning_rate": 1e-12}
    grid = {"rows": 1, "columns": 4, "refresh_every": refresh_every}
    ticks = run(images, make_settings(generator_optimizer=still, discriminator_optimizer=still, grid=grid))
    # 0, 5, 10, 15 and 20 generator updates
    assert all(np.array_equal(tick.samples, ticks[0].samples) != changes for tick in ticks[1:])


def test_enough_is_enough_and_more_carries_on(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_settings()
    finished = run(images, settings)[-1]
    state = through_disk(finished.state, tmp_path)
    for kimg in (0.32, 0.1):
        (again,) = run(images, settings.model_copy(update={"kimg": kimg}), state)
        assert again.rows == []
        assert again.state.card == finished.state.card
        assert_same_tensors(again.state.tensors, finished.state.tensors)
        assert np.array_equal(again.samples, finished.samples)
    longer = settings.model_copy(update={"kimg": 0.48})
    assert_same_tensors(run(images, longer, state)[-1].state.tensors, run(images, longer)[-1].state.tensors)


def test_carrying_on_says_from_where_and_that_other_weights_have_no_say(
    images: TrainingImages, make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    state = run(images, make_settings())[1].state
    with caplog.at_level(logging.INFO, "celeba_gan.gan.training.loop"):
        next(train(images, make_settings(init_from="other"), state))
    assert f"Carries on from the state at {state.card['images']} images, up to 320" in caplog.messages
    assert "train.init_from other has no say" in caplog.text


def test_another_run_is_refused_naming_both_values_and_the_way_out(
    images: Any, make_settings: MakeSettings, tmp_path: Path
) -> None:
    state = through_disk(run(images, make_settings(kimg=0.08))[-1].state, tmp_path)
    with pytest.raises(TrainingError, match=r"batch_size: 8 in the saved state, 16 now[\s\S]*experiment=NAME"):
        next(train(images, make_settings(batch_size=16), state))
    with pytest.raises(TrainingError, match=r"network\.dcgan\.width: 8 in the saved state, 4 now"):
        next(train(images, make_settings(network={"dcgan": {"width": 4}}), state))
    # The other variant's fields have no say.
    next(train(images, make_settings(network={"dcgan": {"width": 8}, "article": {"width": 32}}), state))
    images.digest = "other"
    with pytest.raises(TrainingError, match="packed images: digest random-16 in the saved state, other now"):
        next(train(images, make_settings(), state))


def test_lengths_ticks_and_learning_rates_may_change(
    images: TrainingImages, make_settings: MakeSettings, tmp_path: Path
) -> None:
    state = through_disk(run(images, make_settings(kimg=0.08))[-1].state, tmp_path)
    changed = make_settings(kimg=0.2, tick_kimg=0.05, generator_optimizer={"learning_rate": 1e-3})
    ticks = run(images, changed, state)
    assert ticks[-1].images == 208
    assert ticks[-1].rows[-1]["learning_rate_generator"] == 1e-3


@pytest.mark.parametrize("network", ["dcgan", "article"])
@pytest.mark.parametrize("where", ["real images", "latents", "discriminator's gradient", "generator's gradient"])
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
    seen: list[Players] = []
    calls = 0
    good_d, good_g, good_draw, clean = (
        Players.backward_discriminator, Players.backward_generator, steps.draw_latents, feed.from_uint8,
    )  # fmt: skip

    def third_of_the_second_tick(kind: str) -> bool:
        nonlocal calls
        calls += kind == where
        return kind == where and calls == {"generator's gradient": 3, "latents": 8}.get(where, 6)

    def backward_discriminator(self: Players, loss: Tensor) -> None:
        seen.append(self)
        good_d(self, loss * float("nan") if third_of_the_second_tick("discriminator's gradient") else loss)

    def backward_generator(self: Players, loss: Tensor) -> None:
        good_g(self, loss * float("nan") if third_of_the_second_tick("generator's gradient") else loss)

    def draw_latents(latent: Any, count: int, generator: Any) -> Tensor:
        factor = float("inf") if count == 2 and third_of_the_second_tick("latents") else 1
        return good_draw(latent, count, generator) * factor

    def from_uint8(pixels: Tensor) -> Tensor:
        return clean(pixels) * (float("inf") if third_of_the_second_tick("real images") else 1)

    monkeypatch.setattr(Players, "backward_discriminator", backward_discriminator)
    monkeypatch.setattr(Players, "backward_generator", backward_generator)
    monkeypatch.setattr(steps, "draw_latents", draw_latents)
    monkeypatch.setattr(feed, "from_uint8", from_uint8)
    ticks = []
    with pytest.raises(TrainingError, match=r"became (nan|-?inf) after 8 images[\s\S]*at 8 images, stands"):
        for tick in train(images, settings):
            ticks.append(replace(tick, state=copy.deepcopy(tick.state)))
    assert [tick.images for tick in ticks] == [0, 8]
    assert all(torch.isfinite(tensor).all() for tensor in ticks[-1].state.tensors.values())
    parameters = [
        *seen[-1].generator.parameters(),
        *seen[-1].discriminator.parameters(),
        *seen[-1].average.parameters(),
    ]
    assert all(torch.isfinite(parameter).all() for parameter in parameters)
    assert seen[-1].broken == 1


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "MPS"])
def test_once_broken_nothing_moves_any_more(make_settings: MakeSettings, fused: bool) -> None:
    players = Players(make_settings(), 16, Hardware("cpu", "", "float32", 1, torch.__version__), None)
    if not fused:
        players._fused = False
        players.generator_optimizer = _adam(players.generator, make_settings().generator_optimizer, fused=False)
        players.discriminator_optimizer = _adam(players.discriminator, make_settings().generator_optimizer, fused=False)

    def step(factor: float) -> None:
        players.backward_discriminator(players.discriminator(torch.rand(2, 3, 16, 16)).mean() * factor)
        players.step_discriminator()
        players.backward_generator(players.discriminator(players.generator(torch.rand(2, 8))).mean() * factor)
        players.step_generator()
        players.update_average(16)

    step(1)
    before = copy.deepcopy(players.tensors())
    step(1)
    assert any(not torch.equal(before[name], tensor) for name, tensor in players.tensors().items())
    before = copy.deepcopy(players.tensors())
    step(float("nan"))
    step(1)
    assert_same_tensors(before, players.tensors())


def test_average_is_its_closed_form(images: TrainingImages, make_settings: MakeSettings) -> None:
    settings = make_settings(ema={"half_life_kimg": 0.02, "ramp_up": 0.5}, precision="float32", tick_kimg=0.016)
    ticks = run(images, settings)
    name = "layers.0.weight"
    expected = ticks[0].state.tensors[f"generator.{name}"]
    for tick in ticks[1:]:
        decay = 0.5 ** (16 / min(20, 0.5 * tick.images))
        expected = expected * decay + tick.state.tensors[f"generator.{name}"] * (1 - decay)
    torch.testing.assert_close(ticks[-1].state.tensors[f"average.{name}"], expected)
    assert torch.equal(ticks[-1].generator.tensors[name], ticks[-1].state.tensors[f"average.{name}"])


def test_gradients_of_one_player_leave_the_other_alone(make_settings: MakeSettings) -> None:
    settings = make_settings()
    players = Players(settings, 16, Hardware("cpu", "", "float32", 1, torch.__version__), None)
    before = copy.deepcopy(players.tensors())
    images = players.generator(torch.randn(2, 8))
    players.backward_discriminator(players.discriminator(images.detach()).mean())
    players.step_discriminator()
    after = players.tensors()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"discriminator"}
    before = copy.deepcopy(players.tensors())
    players.backward_generator(players.discriminator(players.generator(torch.randn(2, 8))).mean())
    players.step_generator()
    after = players.tensors()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"generator"}


def test_steps_equal_those_of_a_textbook_loop(images: TrainingImages, make_settings: MakeSettings) -> None:
    """The same losses and draws with plain Adam on contiguous weights: no fused kernel, no memory format."""
    settings = make_settings(precision="float32", threads=1)
    hardware = Hardware("cpu", "", "float32", 1, torch.__version__)
    ours = Players(settings, 16, hardware, None)
    generator = build_generator(settings.network, settings.latent, 16)
    discriminator = build_discriminator(settings.network, 16)
    generator.load_state_dict(ours.generator.state_dict())
    discriminator.load_state_dict(ours.discriminator.state_dict())
    adams = [torch.optim.Adam(net.parameters(), lr=4e-4, betas=(0.0, 0.9)) for net in (generator, discriminator)]
    penalty = Penalty(settings.penalty)
    for step in range(20):
        torch.manual_seed(step)
        real, latents, epsilon = torch.rand(4, 3, 16, 16), torch.randn(4, 8), torch.rand(4)
        fake = ours.generator(latents).detach()
        loss = ours.discriminator(fake).mean() - ours.discriminator(real).mean()
        ours.backward_discriminator(loss + penalty(ours.discriminator, real, fake, epsilon, real)["penalty"])
        ours.step_discriminator()
        ours.backward_generator(-ours.discriminator(ours.generator(latents)).mean())
        ours.step_generator()

        fake = generator(latents).detach()
        loss = discriminator(fake).mean() - discriminator(real).mean()
        adams[1].zero_grad()
        (loss + penalty(discriminator, real, fake, epsilon, real)["penalty"]).backward()
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
    assert_same_tensors(first.state.tensors, run(images, settings)[-1].state.tensors)
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
        network={"name": "article", "article": {"width": 32}}, kimg=0.032, tick_kimg=0.016, precision="float32"
    )
    last = run(images_at(112), settings)[-1]
    for name, tensor in last.state.tensors.items():
        if name.startswith("average.") and "running" in name:
            assert torch.equal(tensor, last.state.tensors[name.replace("average.", "generator.")])


@pytest.mark.parametrize(("objective", "weight"), [("minimax", 0.0), ("wgan", 10.0)], ids=["minimax", "wgan_gp"])
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
    resumed = run(images_at(112), settings, through_disk(undisturbed[1].state, tmp_path))
    assert_same_tensors(undisturbed[-1].state.tensors, resumed[-1].state.tensors)
    assert not np.array_equal(undisturbed[0].samples, undisturbed[-1].samples)
