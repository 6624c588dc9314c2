"""Every transformation alone against numpy or closed forms in float64; exactness, gradients, frequencies, steering."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from celeba_gan.gan.augment.config import AdaSettings, AugmentSettings, DiffAugmentSettings
from celeba_gan.gan.augment.controller import AdaController, moved_p, overfitting, score_sums
from celeba_gan.gan.augment.transforms import TABLES, AugmentNoise, augment, draw
from celeba_gan.gan.inputs.randomness import random_generator

Pictures = np.ndarray[Any, np.dtype[np.float64]]

OFF: dict[str, dict[str, Any]] = {
    "diffaugment": {"brightness": False, "saturation": False, "contrast": False, "translation": 0, "cutout": 0},
    "ada": {
        name: False if name in ("x_flip", "rotate90", "luma_flip") else 0 for name in AdaSettings().transformations()
    }
    | {"cutout": 0},
}
RANGES: dict[str, dict[str, Any]] = {
    "diffaugment": DiffAugmentSettings().model_dump(exclude={"p"}),
    "ada": {name: getattr(AdaSettings(), name) for name in OFF["ada"]} | {"cutout": 0.5},
}
ALONE = [(variant, name) for variant, ranges in RANGES.items() for name in ranges]


def only(variant: str, *names: str) -> AugmentSettings:
    """Settings with these transformations alone, p fixed at one half."""
    chosen = OFF[variant] | {name: RANGES[variant][name] for name in names} | {"p": 0.5}
    return AugmentSettings.model_validate({"name": variant, variant: chosen})


def everything(variant: str) -> AugmentSettings:
    return only(variant, *RANGES[variant])


def noise_of(settings: AugmentSettings, batch: int, seed: int = 0) -> AugmentNoise:
    return draw(settings, batch, random_generator(seed, "augment", 0))


def columns(variant: str, noise: AugmentNoise) -> dict[str, Pictures]:
    """The numbers of each transformation, (batch, numbers) in float64, by the order of the table."""
    found, at = {}, 0
    for name, kinds in TABLES[variant].items():
        found[name] = noise.amount[:, at : at + len(kinds)].double().numpy()
        at += len(kinds)
    return found


@pytest.fixture
def images() -> Tensor:
    """Smooth, so that interpolation has something to be right about; no two pixels alike."""
    size, where = 16, torch.linspace(0, 3, 16, dtype=torch.float64)
    waves = [torch.sin(where * (1 + 0.3 * i))[:, None] * torch.cos(where * (0.7 + 0.2 * i) + i) for i in range(24)]
    pictures = torch.stack(waves).view(8, 3, size, size)
    return pictures + torch.linspace(0, 0.3, 3, dtype=torch.float64)[:, None, None]


def paper_translation(image: Pictures, right: int, down: int) -> Pictures:
    """Zero padding and a cut, as in the paper's code."""
    size = image.shape[-1]
    padded = np.pad(image, ((0, 0), (size, size), (size, size)))
    return padded[:, size - down : 2 * size - down, size - right : 2 * size - right]


def paper_cutout(image: Pictures, offset_x: int, offset_y: int, side: int) -> Pictures:
    """A mask indexed by clipped places, as in the paper's code."""
    size, mask = image.shape[-1], np.ones(image.shape[-2:])
    rows = np.clip(np.arange(side) + offset_y - side // 2, 0, size - 1)
    places = np.clip(np.arange(side) + offset_x - side // 2, 0, size - 1)
    mask[np.ix_(rows, places)] = 0
    return image * mask


def diffaugment_by_hand(name: str, image: Pictures, numbers: Pictures) -> Pictures:
    size = image.shape[-1]
    if name == "brightness":
        return image + (numbers[0] - 0.5)
    if name == "saturation":
        grey = image.mean(axis=0, keepdims=True)
        return (image - grey) * (numbers[0] * 2) + grey
    if name == "contrast":
        return (image - image.mean()) * (numbers[0] + 0.5) + image.mean()
    if name == "translation":
        most = int(size * 0.125 + 0.5)
        right, down = (int(number * (2 * most + 1)) - most for number in numbers)
        return paper_translation(image, right, down)
    side = int(size * 0.5 + 0.5)
    offset_x, offset_y = (int(number * (size + 1 - side % 2)) for number in numbers)
    return paper_cutout(image, offset_x, offset_y, side)


@pytest.mark.parametrize("name", RANGES["diffaugment"])
@pytest.mark.parametrize("size", [16, 15, 10])
def test_diffaugment_equals_the_papers_code(images: Tensor, name: str, size: int) -> None:
    images = images[:, :, :size, :size]
    settings = only("diffaugment", name)
    for seed in range(5):
        noise = noise_of(settings, 8, seed)
        numbers = columns("diffaugment", noise)[name]
        pairs = zip(images.numpy(), numbers, strict=True)
        expected = np.stack([diffaugment_by_hand(name, image, row) for image, row in pairs])
        np.testing.assert_allclose(augment(images, noise, settings, 1.0).numpy(), expected, rtol=0, atol=1e-12)


def test_diffaugment_goes_in_the_papers_order(images: Tensor) -> None:
    settings = everything("diffaugment")
    noise = noise_of(settings, 8)
    expected = images.numpy()
    for name, numbers in columns("diffaugment", noise).items():
        pairs = zip(expected, numbers, strict=True)
        expected = np.stack([diffaugment_by_hand(name, image, row) for image, row in pairs])
    np.testing.assert_allclose(augment(images, noise, settings, 1.0).numpy(), expected, rtol=0, atol=1e-12)


def hue_by_rodrigues(image: Pictures, angle: float) -> Pictures:
    """Turns the colours about the grey axis, vector by vector."""
    axis, colour = np.full(3, 3**-0.5), image.transpose(1, 2, 0)
    across, along = np.cross(axis, colour), (colour @ axis)[..., None] * axis
    turned = colour * math.cos(angle) + across * math.sin(angle) + along * (1 - math.cos(angle))
    return turned.transpose(2, 0, 1)


def ada_by_hand(name: str, image: Pictures, numbers: Pictures) -> Pictures:
    """The transformations that need no interpolation."""
    first, size = float(numbers[0]), image.shape[-1]
    if name == "x_flip":
        return image[:, :, ::-1] if first >= 0.5 else image
    if name == "rotate90":
        return np.rot90(image, int(first * 4), axes=(1, 2))
    if name == "translation":
        right, down = (round((number * 2 - 1) * 0.125 * size) for number in numbers)
        padded = np.pad(image, ((0, 0), (size // 2, size // 2), (size // 2, size // 2)), mode="reflect")
        return padded[:, size // 2 - down :, size // 2 - right :][:, :size, :size]
    if name == "brightness":
        return image + 0.2 * first
    if name == "contrast":
        return image * 2 ** (0.5 * first)
    if name == "luma_flip":
        return image - 2 * image.mean(axis=0) if first >= 0.5 else image
    if name == "hue":
        return hue_by_rodrigues(image, (first * 2 - 1) * math.pi)
    if name == "saturation":
        return image.mean(axis=0) + (image - image.mean(axis=0)) * 2**first
    centres = (np.arange(size) + 0.5) / size
    inside = [np.abs(centres - number) < 0.25 for number in numbers]
    return image * ~(inside[0][None, :] & inside[1][:, None])


@pytest.mark.parametrize(
    "name", ["x_flip", "rotate90", "translation", "brightness", "contrast", "luma_flip", "hue", "saturation", "cutout"]
)
def test_ada_without_interpolation_equals_numpy(images: Tensor, name: str) -> None:
    settings = only("ada", name)
    for seed in range(5):
        noise = noise_of(settings, 8, seed)
        pairs = zip(images.numpy(), columns("ada", noise)[name], strict=True)
        expected = np.stack([ada_by_hand(name, image, row) for image, row in pairs])
        np.testing.assert_allclose(augment(images, noise, settings, 1.0).numpy(), expected, rtol=0, atol=1e-12)


def test_flips_turns_and_shifts_by_pixels_are_exact_copies() -> None:
    pixels = torch.randn(32, 3, 16, 16)
    settings = only("ada", "x_flip", "rotate90", "translation")
    changed = augment(pixels, noise_of(settings, 32), settings, 1.0)
    for before, after in zip(pixels, changed, strict=True):
        assert set(after.flatten().tolist()) <= set(before.flatten().tolist())
        assert not torch.equal(before, after)


SMOOTH = ["scaling", "rotation", "anisotropic_scaling", "fractional_translation"]


def source_by_hand(name: str, numbers: dict[str, Pictures], index: int, size: int) -> Pictures:
    """Maps places in the result, from the centre, to places in the image: (2, 3)."""
    if name == "scaling":
        scale = 2 ** (0.2 * numbers["scaling"][index, 0])
        return np.array([[1 / scale, 0, 0], [0, 1 / scale, 0]])
    if name == "anisotropic_scaling":
        scale = 2 ** (0.2 * numbers["anisotropic_scaling"][index, 0])
        return np.array([[1 / scale, 0, 0], [0, scale, 0]])
    if name == "rotation":
        turns = numbers["rotation_before"][index, 0] + numbers["rotation_after"][index, 0]
        angle = (turns * 2 - 2) * math.pi
        return np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]])
    right, down = numbers["fractional_translation"][index] * 0.125 * size
    return np.array([[1, 0, -right], [0, 1, -down]])


@pytest.mark.parametrize("name", SMOOTH)
def test_interpolated_transformations_find_a_smooth_function_where_it_lies(name: str) -> None:
    """An image is samples of a known function; the result must be that function at the places it comes from."""
    size = 32
    axis = np.arange(size) - (size - 1) / 2

    def function(x: Pictures, y: Pictures) -> Pictures:
        return np.stack([np.sin(0.21 * x + 0.13 * y), np.cos(0.17 * x - 0.2 * y), np.sin(0.3 * x) * np.cos(0.1 * y)])

    across, down = np.meshgrid(axis, axis)
    images = torch.from_numpy(function(across, down)).expand(16, 3, size, size)
    settings = only("ada", name)
    noise = noise_of(settings, 16)
    numbers = columns("ada", noise)
    changed = augment(images, noise, settings, 1.0).numpy()
    compared = 0
    for index, after in enumerate(changed):
        (a, b, c), (d, e, f) = source_by_hand(name, numbers, index, size)
        x, y = a * across + b * down + c, d * across + e * down + f
        inside = (np.abs(x) < size / 2 - 5) & (np.abs(y) < size / 2 - 5)  # clear of the mirrors at the edges
        compared += inside.sum()
        assert np.abs(after - function(x, y))[:, inside].max() < 0.01
    assert compared > 16 * 200


def test_doubling_keeps_more_of_the_detail_than_linear_interpolation() -> None:
    """Half a pixel's shift of a wave of 8/3 pixels: linear reading keeps cos(3 pi / 8), 38 %."""
    size = 64
    wave = torch.cos(torch.arange(size, dtype=torch.float64) * 0.75 * math.pi).expand(1, 3, size, size)
    settings = only("ada", "fractional_translation")
    noise = AugmentNoise(torch.zeros(1, 14), torch.zeros(1, 17))
    at = sum(len(kinds) for kinds in list(TABLES["ada"].values())[:7])
    for shift in (0.25, 0.5):
        noise.amount[0, at] = shift / (0.125 * size)
        middle = augment(wave, noise, settings, 1.0)[0, 0, 32, 16:48]
        expected = torch.cos((torch.arange(16, 48, dtype=torch.float64) - shift) * 0.75 * math.pi)
        kept = float((middle @ expected) / (expected @ expected))
        assert 0.78 < kept < 1.05


@pytest.mark.parametrize("variant", ["none", "diffaugment", "ada"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_nothing_happens_at_strength_zero_bit_for_bit(
    variant: str, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    settings = everything(variant) if variant != "none" else AugmentSettings()
    pixels = torch.randn(64, 3, 16, 16).to(dtype).contiguous(memory_format=layout)
    same = augment(pixels, noise_of(settings, 64), settings, torch.tensor(0.0))
    assert torch.equal(same, pixels)
    changed = augment(pixels, noise_of(settings, 64), settings, torch.tensor(1.0))
    for result in (same, changed):
        assert result.dtype == dtype
        assert result.is_contiguous(memory_format=layout)
    assert torch.equal(changed, pixels) == (variant == "none")


@pytest.mark.parametrize(("variant", "name"), ALONE)
def test_images_that_no_transformation_hits_stay_bit_for_bit(variant: str, name: str) -> None:
    settings = only(variant, name)
    pixels = torch.randn(200, 3, 8, 8)
    noise = noise_of(settings, 200)
    names = ["rotation_before", "rotation_after"] if name == "rotation" else [name]
    p = 1 - math.sqrt(0.5) if name == "rotation" else 0.5
    order = list(TABLES[variant])
    hit = torch.stack([noise.chance[:, order.index(one)] < p for one in names]).any(dim=0)
    changed = augment(pixels, noise, settings, 0.5)
    assert torch.equal(changed[~hit], pixels[~hit])
    assert (changed[hit] != pixels[hit]).flatten(1).any(dim=1).float().mean() > 0.4  # some flips and turns are none


@pytest.mark.parametrize("fast", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["projected", "each"])
@pytest.mark.parametrize(("variant", "name"), ALONE)
def test_gradients_of_each_transformation_are_right(variant: str, name: str, fast: bool) -> None:
    settings = only(variant, name)
    noise = noise_of(settings, 2)
    torch.manual_seed(0)
    pixels = torch.randn(2, 3, 5, 5, dtype=torch.float64, requires_grad=True)

    def changed(pixels: Tensor) -> Tensor:
        return augment(pixels, noise, settings, 1.0)

    assert torch.autograd.gradcheck(changed, pixels, fast_mode=fast)
    assert torch.autograd.gradgradcheck(lambda pixels: changed(pixels).square(), pixels, fast_mode=fast)


@pytest.mark.parametrize("variant", ["diffaugment", "ada"])
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["eager", "compiled"])
def test_penalty_through_augmentation_equals_the_textbook_double_backward(variant: str, compiled: bool) -> None:
    torch.manual_seed(0)
    settings, size = everything(variant), 8
    discriminator = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Softplus(), nn.Flatten(), nn.Linear(36, 1)).double()
    pixels = torch.randn(4, 3, size, size, dtype=torch.float64)
    noise, p = noise_of(settings, 4), torch.tensor(0.8)

    def loss(pixels: Tensor, noise: AugmentNoise, p: Tensor) -> Tensor:
        def score(images: Tensor) -> Tensor:
            total: Tensor = discriminator(augment(images, noise, settings, p)).sum()
            return total

        slopes: Tensor = torch.func.grad(score)(pixels)
        return slopes.square().sum() + score(pixels)

    ours = (torch.compile(loss, fullgraph=True) if compiled else loss)(pixels, noise, p)
    leaf = pixels.clone().requires_grad_()
    score = discriminator(augment(leaf, noise, settings, p)).sum()
    (slopes,) = torch.autograd.grad(score, leaf, create_graph=True)
    theirs = slopes.square().sum() + score
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    parameters = list(discriminator.parameters())
    gradients = (torch.autograd.grad(value, parameters, allow_unused=True) for value in (ours, theirs))
    for our, their in zip(*gradients, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-10, atol=1e-12)


def test_geometry_is_not_computed_in_bfloat16_under_autocast() -> None:
    settings = everything("ada")
    pixels = torch.randn(8, 3, 16, 16)
    expected = augment(pixels, noise_of(settings, 8), settings, 1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augment(pixels, noise_of(settings, 8), settings, 1.0), expected)


@pytest.mark.parametrize("variant", ["diffaugment", "ada"])
def test_parts_of_a_batch_are_augmented_as_in_the_whole(variant: str) -> None:
    settings = everything(variant)
    pixels = torch.randn(12, 3, 8, 8, dtype=torch.float64)
    noise = noise_of(settings, 12)
    whole = augment(pixels, noise, settings, 0.7)
    for size in (1, 2, 3, 4, 6):
        starts = range(0, 12, size)
        parts = [
            augment(pixels[i : i + size], AugmentNoise(*(rows[i : i + size] for rows in noise)), settings, 0.7)
            for i in starts
        ]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variant", ["diffaugment", "ada"])
def test_switches_leave_the_draws_of_the_others_alone(variant: str) -> None:
    first = noise_of(only(variant, "brightness"), 8)
    second = noise_of(everything(variant), 8)
    assert torch.equal(first.chance, second.chance)
    assert torch.equal(first.amount, second.amount)


@pytest.mark.parametrize(("variant", "name"), ALONE)
def test_every_transformation_happens_with_its_probability(variant: str, name: str) -> None:
    """Counted on the images themselves; chi-square with one degree of freedom, beyond 15.1 once in 10,000 seeds."""
    settings = only(variant, name)
    count, p = 4000, 0.3
    pixels = torch.randn(count, 3, 8, 8)
    changed = (augment(pixels, noise_of(settings, count), settings, p) != pixels).flatten(1).any(dim=1).sum()
    # The share of each one's draws that change nothing: heads of a coin, no quarter turn, no whole pixel either way.
    idle = {"x_flip": 1 / 2, "luma_flip": 1 / 2, "rotate90": 1 / 4}.get(name, 0.0)
    if name == "translation":
        idle = 1 / 9 if variant == "diffaugment" else 1 / 4
    expected = count * p * (1 - idle)
    assert (float(changed) - expected) ** 2 * (1 / expected + 1 / (count - expected)) < 15.1


def test_transformations_happen_independently_of_each_other() -> None:
    for variant in ("diffaugment", "ada"):
        chance = noise_of(everything(variant), 20_000).chance
        together = torch.corrcoef((chance < 0.5).double().T) - torch.eye(chance.shape[1], dtype=torch.float64)
        assert together.abs().max() < 0.035  # five deviations


def turned(images: Tensor) -> Tensor:
    return torch.rot90(images, 1, (2, 3))


LEAKS: list[tuple[str, Callable[[Tensor], Tensor]]] = [
    ("x_flip", lambda images: images.flip(3)),
    ("rotate90", turned),
    ("rotation", turned),
    ("luma_flip", lambda images: images - 2 * images.mean(dim=1, keepdim=True)),
    ("hue", lambda images: images.roll(1, dims=1)),  # 120 degrees
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "twin"), LEAKS, ids=[name for name, _ in LEAKS])
def test_sets_that_differ_by_a_transformation_stay_different_below_one(
    images: Tensor, name: str, twin: Callable[[Tensor], Tensor]
) -> None:
    """At p = 1 an augmented set and its transformed twin have one distribution: a generator of either would pass for
    the other. Below, their means stay (1 - p) of their difference apart, so the augmentation does not leak."""
    settings, count = only("ada", name), 10_000
    images = images[:1, :, ::2, ::2]
    first, second = (picture.expand(count, -1, -1, -1) for picture in (images, twin(images)))
    apart = (images - twin(images))[0]
    for p in (0.3, 0.8, 1.0):
        means = [
            augment(set_, noise_of(settings, count, seed), settings, p).mean(0)
            for seed, set_ in enumerate((first, second))
        ]
        left = float(((means[0] - means[1]) * apart).sum() / apart.square().sum())
        assert left == pytest.approx(1 - p, abs=0.05)


def test_p_is_steered_as_computed_by_hand() -> None:
    settings = AugmentSettings.model_validate({"name": "ada", "ada": {"speed_kimg": 1, "interval": 2, "limit": 0.3}})
    controller = AdaController(settings, has_zero=True)
    fine, broken = torch.tensor(0.0), torch.tensor(1.0)
    assert not controller.needs_valid

    def iterate(iteration: int, *scores: float, state: Tensor = fine) -> float:
        sums = score_sums(torch.tensor(scores), torch.tensor([5.0]), None, has_zero=True)
        controller.advance(sums, controller.is_due(iteration), 50, state)
        return round(float(controller.p), 6)

    assert iterate(1, 3, 2, -1, 9) == 0  # no move between two intervals
    assert iterate(2, 7, 8, 9, 1) == 0.1  # signs sum to 6 of 8: above 0.6, so up by 2 x 50 / 1000
    assert iterate(3, 1, 1) == 0.1
    assert iterate(4, 1, 1) == 0.2
    assert iterate(5, 1, -1) == 0.2
    assert iterate(6, 1, 1) == 0.1  # 2 of 4
    assert iterate(8, -1, -1) == 0  # not below 0
    assert iterate(10, -1, -1) == 0
    for iteration in (12, 14, 16, 18, 20):
        iterate(iteration, 1)
    assert iterate(22, 1) == 0.3  # not above the limit
    iterate(23, -1, -1, -1)
    before = {name: tensor.clone() for name, tensor in controller.state_dict().items()}
    assert iterate(24, float("nan"), state=broken) == 0.3  # neither NaN nor anything else moves it once it broke
    assert all(torch.equal(before[name], tensor) for name, tensor in controller.state_dict().items())


@pytest.mark.parametrize(
    ("train", "valid", "fake", "known", "p"),
    [
        (4.0, 1.0, 0.0, 0.75, 0.6),  # valid reals score almost as fakes do: by heart
        (4.0, 3.0, 0.0, 0.25, 0.4),
        (-4.0, -7.0, -8.0, 0.75, 0.6),  # a critic's zero means nothing
        (0.0, -9.0, 1.0, 0.0, 0.4),  # fakes above reals: nothing known
        (1.0, 1.0, 1.0, 0.0, 0.4),
    ],
)
def test_critics_without_a_zero_are_steered_by_the_valid_split(
    train: float, valid: float, fake: float, known: float, p: float
) -> None:
    settings = AdaSettings(speed_kimg=1)
    spread = torch.tensor([-1.0, 0.0, 1.0])
    sums = score_sums(train + spread, fake + spread, valid + spread[:1] + 1, has_zero=False)
    assert float(overfitting(sums, has_zero=False)) == pytest.approx(known)
    assert float(moved_p(torch.tensor(0.5), sums, 100, settings, has_zero=False)) == pytest.approx(p)
    assert AdaController(AugmentSettings(name="ada"), has_zero=False).needs_valid


def test_p_stays_where_there_is_nothing_to_judge_by() -> None:
    nothing, scores = torch.empty(0), torch.ones(3)
    for has_zero, sums in (
        (True, score_sums(nothing, scores, None, has_zero=True)),
        (False, score_sums(scores, scores - 1, None, has_zero=False)),
        (False, score_sums(scores, scores + 1, None, has_zero=False)),
    ):
        assert float(moved_p(torch.tensor(0.5), sums, 100, AdaSettings(), has_zero)) == 0.5


def test_sums_of_parts_are_those_of_the_whole() -> None:
    train, fake, valid = torch.randn(3, 12)
    for has_zero in (True, False):
        whole = score_sums(train, fake, valid, has_zero)
        parts = [score_sums(train[i : i + 3], fake[i : i + 3], valid[i : i + 3], has_zero) for i in range(0, 12, 3)]
        torch.testing.assert_close(torch.stack(parts).sum(0), whole)


def test_controller_carries_on_from_its_saved_state() -> None:
    settings = AugmentSettings.model_validate({"name": "ada", "ada": {"speed_kimg": 2, "interval": 3}})
    fine = torch.tensor(0.0)

    def run(controller: AdaController, start: int, stop: int) -> None:
        for iteration in range(start, stop):
            scores = torch.randn(8, generator=random_generator(0, "scores", iteration)) + 1.5
            controller.advance(score_sums(scores, scores, None, has_zero=True), controller.is_due(iteration), 40, fine)

    undisturbed, stopped, resumed = (AdaController(settings, has_zero=True) for _ in range(3))
    run(undisturbed, 1, 60)
    run(stopped, 1, 32)
    resumed.load_state_dict(stopped.state_dict())
    run(resumed, 32, 60)
    assert float(undisturbed.p) > 0
    for name, tensor in undisturbed.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("values", "strength"),
    [
        ({"name": "none"}, 0.0),
        ({"name": "diffaugment"}, 1.0),
        ({"name": "diffaugment", "diffaugment": {"p": 0.5}}, 0.5),
        ({"name": "ada", "ada": {"p": 0.25}}, 0.25),
    ],
)
def test_fixed_strengths_stand_still(values: dict[str, Any], strength: float) -> None:
    controller = AdaController(AugmentSettings.model_validate(values), has_zero=False)
    assert not controller.needs_valid
    controller.advance(torch.ones(3, 2) * 5, controller.is_due(4), 10**6, torch.tensor(0.0))
    assert float(controller.p) == strength


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "cutmix"}, "'none', 'diffaugment' or 'ada'"),
        ({"ada": {"hues": 3}}, "Extra inputs are not permitted"),
        ({"diffaugment": {"cutout": 1.5}}, "less than or equal to 1"),
        ({"ada": {"p": -0.1}}, "greater than or equal to 0"),
        ({"ada": dict.fromkeys(OFF["ada"], 0)}, "every transformation is switched off"),
    ],
)
def test_bad_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AugmentSettings.model_validate(values)
