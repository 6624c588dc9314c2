import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from celeba_gan.gan.inputs import feed
from celeba_gan.gan.inputs.feed import FeedError, ImageFeed, TrainingImages, crop, is_resident, mirror
from celeba_gan.gan.inputs.randomness import ShuffledOrder, random_generator
from celeba_gan.gan.runtime.hardware import Hardware
from celeba_gan.gan.settings import TrainSettings

MakeSettings = Callable[..., TrainSettings]
CPU = Hardware(device="cpu", device_name="", precision="float32", threads=1, torch=torch.__version__)


class Numbered:
    """Ninety images of noise, of which those from 7 to 79 are for training."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.digest = ""
        self.pixels = np.random.default_rng(1).integers(0, 256, (90, size, size, 3), dtype=np.uint8)

    def split(self, name: str) -> tuple[int, int]:
        return {"train": (7, 80)}[name]

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.pixels[indices]


def by_hand(images: Numbered, settings: TrainSettings, step: int) -> NDArray[np.float64]:
    """The batch of a step, image by image and in float64."""
    count, side = settings.batch_size, settings.random_crop or images.size
    indices = ShuffledOrder(settings.seed, 73).indices(step * count, count).tolist()
    places = images.size - side + 1
    tops, lefts = torch.randint(places, (2, count), generator=random_generator(settings.seed, "crop", step)).tolist()
    mirrored = (torch.rand(count, generator=random_generator(settings.seed, "mirror", step)) < 0.5).tolist()
    batch = []
    for index, top, left, turned in zip(indices, tops, lefts, mirrored, strict=True):
        square = images.pixels[7 + index][top : top + side, left : left + side].astype(np.float64)
        if turned and settings.mirror:
            square = square[:, ::-1]
        batch.append(square.transpose(2, 0, 1) / 127.5 - 1)
    return np.stack(batch)


@pytest.mark.parametrize("data", ["stream", "resident"])
@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("random_crop", [None, 16, 19, 24])
def test_batches_are_those_made_by_hand(
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    data: str,
    mirrored: bool,
    random_crop: int | None,
) -> None:
    monkeypatch.setattr(feed, "PIECE_BYTES", 10 * 24 * 24 * 3)  # resident images arrive in eight pieces
    images = Numbered(24)
    settings = make_settings(data=data, mirror=mirrored, random_crop=random_crop, seed=3)
    source = ImageFeed(settings, images, CPU)
    for step in (0, 1, 8, 9, 100, 3):  # also across the end of an epoch, and back
        batch, _ = source.batch(source.draw(step))
        side = random_crop or 24
        assert (batch.shape, batch.dtype) == ((8, 3, side, side), torch.float32)
        assert batch.is_contiguous(memory_format=torch.channels_last)
        assert np.abs(batch.double().numpy() - by_hand(images, settings, step)).max() < 1.2e-7  # rounding to float32


def test_batches_are_bit_identical_wherever_the_pixels_lie(make_settings: MakeSettings) -> None:
    images = Numbered(24)
    settings = make_settings(random_crop=16)
    feeds = [ImageFeed(settings.model_copy(update={"data": data}), images, CPU) for data in ("stream", "resident")]
    for step in range(20):
        first, second = (source.batch(source.draw(step))[0] for source in feeds)
        assert torch.equal(first, second)
        assert first.stride() == second.stride()


def test_every_place_is_cropped_and_equally_often(make_settings: MakeSettings) -> None:
    """Each pixel tells where it is, so each square tells where it was cut, and that it lay inside."""

    class Coordinates(Numbered):
        def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
            row, column = np.mgrid[0 : self.size, 0 : self.size].astype(np.uint8)
            return np.stack([np.stack([row, column, row], axis=-1)] * len(indices))

    settings = make_settings(random_crop=16, mirror=False, batch_size=64, tick_kimg=1)
    source = ImageFeed(settings, Coordinates(19), CPU)
    squares = torch.cat([source.batch(source.draw(step))[0] for step in range(50)]).add(1).mul(127.5).round()
    row, column = squares[:, 0, :, 0], squares[:, 1, 0, :]
    assert torch.equal(row, row[:, :1] + torch.arange(16))
    assert torch.equal(column, column[:, :1] + torch.arange(16))
    counts = torch.bincount((row[:, 0] * 4 + column[:, 0]).int(), minlength=16)
    assert len(counts) == 16
    # 3200 squares over 16 places: chi-square with 15 degrees of freedom, beyond 44.3 once in 10,000 seeds.
    assert ((counts - 200.0).square() / 200).sum() < 44.3


@pytest.mark.parametrize(("height", "width", "side"), [(9, 7, 7), (5, 11, 4), (6, 6, 1)])
def test_crop_and_mirror_equal_slicing(height: int, width: int, side: int) -> None:
    pixels = torch.randint(256, (30, height, width, 3), dtype=torch.uint8)
    corners = torch.stack([torch.randint(height - side + 1, (30,)), torch.randint(width - side + 1, (30,))])
    corners[:, 0], corners[:, 1] = 0, torch.tensor([height - side, width - side])
    expected = torch.stack(
        [pixels[i, top : top + side, left : left + side] for i, (top, left) in enumerate(corners.T.tolist())]
    )
    assert torch.equal(crop(pixels, corners, side), expected)
    turned = torch.rand(30) < 0.5
    expected = torch.stack([image.flip(1) if turn else image for image, turn in zip(pixels, turned, strict=True)])
    assert torch.equal(mirror(pixels, turned), expected)


@pytest.mark.parametrize(
    ("asked", "needed", "free", "resident"),
    [
        ("auto", 50, 100, True),
        ("auto", 51, 100, False),
        ("auto", 1, None, False),  # the CPU
        ("stream", 1, 100, False),
        ("stream", 1, None, False),
        ("resident", 99, 100, True),
        ("resident", 1, None, True),
    ],
)
def test_images_stay_on_the_device_when_asked_or_when_half_its_free_memory_holds_them(
    asked: Any, needed: int, free: int | None, resident: bool
) -> None:
    assert is_resident(asked, needed, free) is resident


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("auto", "Training images: 126.1 kB, streamed from disk"),
        ("stream", "Training images: 126.1 kB, streamed from disk"),
        ("resident", "Training images: 126.1 kB in memory"),
    ],
)
def test_where_the_images_lie_is_said_once(
    make_settings: MakeSettings, caplog: pytest.LogCaptureFixture, data: str, line: str
) -> None:
    with caplog.at_level(logging.INFO, "celeba_gan"):
        source = ImageFeed(make_settings(data=data), Numbered(24), CPU)
        source.batch(source.draw(0))
    assert caplog.messages == [line]


class Distant(Numbered):
    """Images that are fetched from elsewhere."""

    read_ahead = 3

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.announced: list[list[int]] = []

    def expect(self, indices: NDArray[np.int64]) -> None:
        self.announced.append(indices.tolist())


def test_the_images_of_the_next_batches_are_announced(
    make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings, images = make_settings(data="stream", batch_size=8), Distant(24)
    with caplog.at_level(logging.INFO, "celeba_gan"):
        source = ImageFeed(settings, images, CPU)
    assert caplog.messages == ["Training images: 126.1 kB, streamed"]
    order = ShuffledOrder(settings.seed, 73)
    for step in (0, 1, 7, 8, 30):  # 73 images are nine batches: some are of two epochs
        source.draw(step)
        assert images.announced.pop() == (order.indices((step + 1) * 8, 3 * 8) + 7).tolist()
        assert not images.announced
    images.read_ahead = 0
    ImageFeed(settings, images, CPU).draw(0)
    assert not images.announced


def test_images_that_do_not_fit_are_refused_with_the_way_out(make_settings: MakeSettings) -> None:
    class Endless(Numbered):
        def split(self, name: str) -> tuple[int, int]:
            return 0, 1 << 46

    images: TrainingImages = Endless(24)
    with pytest.raises(FeedError, match=r"needs 121,597,189\.9 GB .* of the cpu device.*; give train\.data=stream"):
        ImageFeed(make_settings(data="resident"), images, CPU)
