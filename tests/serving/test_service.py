"""Pictures are those of the generator itself, whatever they are requested beside and by however many threads."""

import base64
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from celeba_gan.gan.networks.build import build_generator
from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.serving.rows import LARGEST, RequestError
from celeba_gan.serving.service import Answer, PictureService

SIZE, LATENTS = 16, 8
ATTRIBUTES = Condition(kind="attributes", names=("Hat", "Male"), sets=((), (0,), (0, 1)), counts=(3, 1, 2), digest="")
CLASSES = Condition(kind="class", names=("Hat + Male", "other"), sets=((0,), (1,)), counts=(1, 1), digest="")


@pytest.fixture
def make_service(make_snapshot: Callable[..., Snapshot]) -> Callable[[Condition | None], PictureService]:
    def make(condition: Condition | None) -> PictureService:
        network, latent = NetworkSettings.model_validate({"dcgan": {"width": 4}}), LatentSettings(size=LATENTS)
        torch.manual_seed(0)
        module = build_generator(network, latent, SIZE, len(condition.names) if condition else None)
        card = make_snapshot(5, network=network, latent=latent, condition=condition).card.of_networks()
        return PictureService(TrainedGenerator(Checkpoint("generator", card, module.state_dict())))

    return make


def pixels(answer: Answer) -> NDArray[np.int16]:
    with Image.open(io.BytesIO(base64.b64decode(str(answer["image"])))) as image:
        assert image.format == str(answer["format"]).upper()
        return np.asarray(image.convert("RGB")).astype(np.int16)


def assert_alike(answer: Answer, image: NDArray[np.uint8], most: int = 1) -> None:
    assert np.abs(pixels(answer) - image).max() <= most


@pytest.mark.parametrize("condition", [None, ATTRIBUTES, CLASSES])
def test_a_seed_and_a_number_give_the_sample_of_this_number(
    make_service: Callable[[Condition | None], PictureService], condition: Condition | None
) -> None:
    service = make_service(condition)
    samples = service.generator.sample(1030, seed=3, truncation=0.7)
    numbers = [1029, 0, 1023, 1024, 0]
    answers = service.answer([{"seed": 3, "number": number, "truncation": 0.7} for number in numbers], {})
    for number, answer in zip(numbers, answers, strict=True):
        assert (answer["seed"], answer["number"], answer["truncation"]) == (3, number, 0.7)
        assert_alike(answer, samples[number])


@pytest.mark.parametrize("labels", ["Hat", "Male + Hat", "Male+Hat"])
def test_labels_are_those_that_are_named(
    make_service: Callable[[Condition | None], PictureService], labels: str
) -> None:
    service = make_service(ATTRIBUTES)
    (answer,) = service.answer([{"seed": 1}], {"labels": labels})
    assert_alike(answer, service.generator.sample(1, seed=1, labels=labels)[0])
    assert answer["labels"] == ("Hat" if labels == "Hat" else "Hat+Male")


@pytest.mark.parametrize("condition", [None, ATTRIBUTES, CLASSES])
def test_an_answer_holds_what_makes_its_picture_again(
    make_service: Callable[[Condition | None], PictureService], condition: Condition | None
) -> None:
    service = make_service(condition)
    answers = service.answer([{"seed": seed, "truncation": 0.5} for seed in (5, LARGEST, 9, 10)], {})
    assert len({str(answer["image"]) for answer in answers}) == 4
    for kept in (("seed", "number", "truncation", "labels"), ("latents", "truncation", "labels")):
        again = service.answer([{name: answer[name] for name in kept} for answer in answers], {})
        for answer, other in zip(answers, again, strict=True):
            if answer["labels"] or "seed" in kept:  # latents alone do not say which labels a sample had without any
                assert_alike(other, pixels(answer).astype(np.uint8))
                assert other["latents"] == answer["latents"]
                assert other["labels"] == answer["labels"]


def test_latents_are_drawn_as_they_are_and_without_labels_the_same_in_every_row(
    make_service: Callable[[Condition | None], PictureService],
) -> None:
    service = make_service(ATTRIBUTES)
    latents = np.random.default_rng(0).standard_normal((2, LATENTS)).astype(np.float32)
    rows = [{"latents": one.tolist(), "labels": "Male"} for one in latents] + [{"latents": list(latents[0])}] * 3
    answers = service.answer([{"seed": 2}, *rows], {})[1:]
    expected = service.generator.images(latents, [[0, 1], [0, 1]])
    for answer, image in zip(answers[:2], expected, strict=True):
        assert_alike(answer, image)
        assert answer["seed"] is answer["number"] is None
    assert answers[0]["latents"] == latents[0].tolist()
    assert answers[2] == answers[3] == answers[4]


def test_every_format_shows_the_same_picture(make_service: Callable[[Condition | None], PictureService]) -> None:
    service = make_service(None)
    service.generator.images = lambda latents, *_: np.tile(  # type: ignore[method-assign]  # smooth, as faces are
        np.linspace(0, 255, SIZE, dtype=np.uint8)[None, :, None, None], (len(latents), 1, SIZE, 3)
    )
    png, webp, jpeg = service.answer([{"format": name} for name in ("png", "webp", "jpeg")], {})
    assert_alike(png, service.generator.images(np.zeros((1, LATENTS)))[0], most=0)
    for other in (webp, jpeg):
        assert np.abs(pixels(other) - pixels(png)).mean() < 4


@pytest.mark.parametrize(
    ("condition", "labels", "reason"),
    [
        (None, "Male", "this generator takes no labels"),
        (ATTRIBUTES, "Beard", "knows no 'Beard'. There are: Hat, Male"),
        (ATTRIBUTES, "../../etc/passwd", "knows no '../../etc/passwd'"),
        (ATTRIBUTES, "Male+", "knows no ''"),
        (ATTRIBUTES, "Male+Hat+Male", "has 3 names; the generator knows 2"),
        (CLASSES, "Male", "knows no 'Male'"),
    ],
)
def test_labels_that_the_generator_does_not_know_are_refused_with_their_row(
    make_service: Callable[[Condition | None], PictureService], condition: Condition | None, labels: str, reason: str
) -> None:
    with pytest.raises(RequestError, match=r"^row 1: ") as caught:
        make_service(condition).answer([{}, {"labels": labels}], {})
    assert reason in str(caught.value)


def test_many_threads_get_what_one_gets(make_service: Callable[[Condition | None], PictureService]) -> None:
    names = tuple(f"L{number}" for number in range(10))
    condition = Condition(kind="attributes", names=names, sets=((),), counts=(1,), digest="")
    alone, shared = make_service(condition), make_service(condition)
    # More combinations of labels than the generator keeps the means of.
    sets = ["+".join(name for bit, name in enumerate(names) if number >> bit & 1) for number in range(1, 301)]
    requests = [[{"seed": number, "labels": labels, "truncation": 0.5}] for number, labels in enumerate(sets)]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda rows: shared.answer(rows, {}), requests))
    assert found == [alone.answer(rows, {}) for rows in requests]


def test_the_generator_computes_for_one_thread_at_a_time(
    make_service: Callable[[Condition | None], PictureService], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, inside, most = make_service(None), [0], [0]
    images = service.generator.images

    def watched(*arguments: Any) -> NDArray[np.uint8]:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.02)  # time for others to come in
        inside[0] -= 1
        return images(*arguments)

    monkeypatch.setattr(service.generator, "images", watched)
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(lambda seed: service.answer([{"seed": seed}], {}), range(8)))) == 8
    assert most == [1]
