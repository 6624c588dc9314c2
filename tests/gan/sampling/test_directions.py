"""Directions: recovered where the true one is known, and those in closed form against numpy's decomposition."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from celeba_gan.gan.inputs.conditions import Conditions
from celeba_gan.gan.networks.build import build_generator, latent_matrix
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.sampling.control_config import DirectionSettings
from celeba_gan.gan.sampling.control_documents import Directions
from celeba_gan.gan.sampling.directions import (
    Classifier,
    DirectionError,
    attribute_directions,
    check_orthogonal_to,
    closed_form_directions,
    find_directions,
    moved,
    orthogonal,
)
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.gan.training.loop import train
from reports import Reports

SIZE = 24
NAMES = ["One", "Two", "Never"]
FAMILIES = {
    "dcgan": ({"dcgan": {"width": 8}}, 16),
    "article": ({"article": {"width": 16}}, 112),
    "resnet": ({"resnet": {"width": 8}}, 32),
    "r3": ({"r3": {"width": 16, "blocks": 1}}, 32),
}


class Linear:
    """A made-up generator whose two pixels are linear in the latents and labels, and a classifier that reads them."""

    def __init__(self, label_weights: tuple[float, float] = (0, 0)) -> None:
        draws = np.random.default_rng(3)
        one, two = draws.standard_normal((2, SIZE))
        one /= np.linalg.norm(one)
        two = two - two @ one * one
        two = 0.6 * one + 0.8 * two / np.linalg.norm(two)  # the true directions are not orthogonal
        self.true = torch.tensor(np.stack([one, two]), dtype=torch.float32)
        self.label_weights = torch.tensor(label_weights)

    def images(self, latents: Tensor, labels: Tensor) -> NDArray[np.uint8]:
        values = latents @ self.true.T
        if labels.shape[1]:
            values = values + (2 * labels[:, :1] - 1) * self.label_weights
        pixels = (128 + 30 * values).round().clamp(0, 255).to(torch.uint8).numpy()
        return np.broadcast_to(pixels[:, None, :, None], (len(pixels), 2, 2, 3))

    @staticmethod
    def probabilities(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        values = (images[:, 0, :, 0].astype(np.float64) - 128) / 10
        values[:, 1] -= 3  # the second attribute is rare
        return np.concatenate([1 / (1 + np.exp(-values)), np.full((len(images), 1), 0.1)], axis=1)

    @property
    def classifier(self) -> Classifier:
        return Classifier(NAMES, self.probabilities, "abc", {"One": 0.9})


def test_true_directions_are_recovered_and_measured_on_held_out_latents() -> None:
    made_up, latents = Linear(), torch.randn(4096, SIZE)
    settings = DirectionSettings(samples=4096)
    found, without = attribute_directions(made_up.images, latents, torch.zeros(4096, 0), made_up.classifier, settings)
    assert {direction.name for direction in found} == {"One", "Two"}
    assert list(without) == ["Never"]
    assert without["Never"].startswith("0 of 4,096 samples have it")
    held_out = latents[3072:]
    for direction in found:
        true = made_up.true[NAMES.index(direction.name)]
        vector = torch.tensor(direction.vector)
        assert float(vector.norm()) == pytest.approx(1, abs=1e-6)
        assert float(vector @ true) > 0.95
        assert direction.prediction is not None
        assert direction.prediction.auc > 0.99
        assert direction.prediction.accuracy > 0.95
        has = (
            made_up.probabilities(made_up.images(held_out, torch.zeros(1024, 0)))[:, NAMES.index(direction.name)] > 0.5
        )
        assert direction.prediction.share == pytest.approx(has.mean())
        projections = (held_out @ vector).numpy()
        pairs = projections[has][:, None] - projections[~has][None]
        by_hand = (pairs > 0).mean() + (pairs == 0).mean() / 2
        assert direction.prediction.auc == pytest.approx(by_hand, abs=1e-4)  # of all pairs
    assert {direction.name: direction.classifier_auc for direction in found} == {"One": 0.9, "Two": None}


def test_an_attribute_that_the_classifier_does_not_recognise_has_no_direction() -> None:
    """Its verdicts may depend on the latents as well as any other's: only its quality on photographs tells."""
    made_up, latents = Linear(), torch.randn(1024, SIZE)
    settings = DirectionSettings(samples=1024, orthogonal_to=["Two"])
    for quality, expected in ((0.497, {"One"}), (0.5999, {"One"}), (0.6, {"One", "Two"}), (None, {"One", "Two"})):
        classifier = Classifier(NAMES, made_up.probabilities, "abc", {"One": 0.9, "Two": quality})
        found, without = attribute_directions(made_up.images, latents, torch.zeros(1024, 0), classifier, settings)
        assert {direction.name for direction in found} == expected
        assert {direction.name for direction in found} | without.keys() == set(NAMES)
        if quality is not None and "Two" not in expected:
            assert without["Two"] == f"the classifier does not recognise it: AUC {quality:.2f} on valid images"


def test_ridge_regression_is_that_of_the_augmented_least_squares() -> None:
    """lstsq on rows that stand for the penalty is the brute-force twin of the normal equations."""
    made_up, latents = Linear(), torch.randn(512, SIZE)
    settings = DirectionSettings(samples=512, ridge=0.3)
    found, _ = attribute_directions(made_up.images, latents, torch.zeros(512, 0), made_up.classifier, settings)
    kept = latents[:384].double().numpy()
    probabilities = made_up.probabilities(made_up.images(latents[:384], torch.zeros(384, 0)))[:, 0]
    bounded = probabilities.clip(1e-4, 1 - 1e-4)
    logits = np.log(bounded / (1 - bounded))
    root = np.sqrt(0.3 * kept.var(axis=0).mean() * len(kept))
    rows = np.concatenate([kept - kept.mean(axis=0), root * np.eye(SIZE)])
    expected = np.linalg.lstsq(rows, np.concatenate([logits - logits.mean(), np.zeros(SIZE)]), rcond=None)[0]
    vector = next(direction.vector for direction in found if direction.name == "One")
    assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)


def test_labels_are_taken_out_and_what_they_decide_is_not_predicted() -> None:
    made_up, latents = Linear(label_weights=(3, 0)), torch.randn(4096, SIZE)
    labels = (torch.rand(4096, 1) < 0.5).float()
    settings = DirectionSettings(samples=4096)
    found, _ = attribute_directions(
        made_up.images, latents, torch.cat([labels, 1 - labels], dim=1), made_up.classifier, settings
    )
    directions = {direction.name: direction for direction in found}
    for name, direction in directions.items():
        assert float(torch.tensor(direction.vector) @ made_up.true[NAMES.index(name)]) > 0.95
    assert directions["Two"].prediction is not None
    assert directions["Two"].prediction.auc > 0.99
    assert directions["One"].prediction is not None
    assert directions["One"].prediction.auc < 0.8  # the label decides it, latents hardly


def test_a_direction_orthogonal_to_another_keeps_the_other_attribute() -> None:
    made_up, latents = Linear(), torch.randn(4096, SIZE)
    settings = DirectionSettings(samples=4096, orthogonal_to=["One"])
    found, _ = attribute_directions(made_up.images, latents, torch.zeros(4096, 0), made_up.classifier, settings)
    directions = {direction.name: direction for direction in found}
    one, two = (torch.tensor(directions[name].vector) for name in ("One", "Two"))
    assert float(one @ two) == pytest.approx(0, abs=1e-6)
    assert directions["Two"].orthogonal_to == ("One",)
    assert directions["One"].orthogonal_to == ()
    rest = made_up.true[1] - 0.6 * made_up.true[0]
    assert float(two @ rest / rest.norm()) > 0.95
    with pytest.raises(DirectionError, match=r"knows no Beard\. There are: One, Two, Never"):
        check_orthogonal_to(DirectionSettings(orthogonal_to=["One", "Beard"]), made_up.classifier.names)
    with pytest.raises(DirectionError, match="there is no classifier that knows attributes"):
        check_orthogonal_to(settings, ())
    check_orthogonal_to(DirectionSettings(), ())


def test_orthogonal_to_several_that_are_not_orthogonal_to_each_other() -> None:
    draws = np.random.default_rng(0)
    vector, one, two = draws.standard_normal((3, 10))
    rest = orthogonal(vector, [one, two, one])
    assert rest is not None
    assert np.linalg.norm(rest) == pytest.approx(1)
    assert np.allclose([rest @ one, rest @ two], 0)
    by_hand = vector - np.linalg.lstsq(np.stack([one, two]).T, vector, rcond=None)[0] @ np.stack([one, two])
    assert np.allclose(rest, by_hand / np.linalg.norm(by_hand))
    assert orthogonal(2 * one + two, [one, two]) is None
    assert np.allclose(orthogonal(vector, []), vector / np.linalg.norm(vector))


@pytest.mark.parametrize("name", FAMILIES)
def test_closed_form_directions_are_the_right_singular_vectors(name: str) -> None:
    settings, size = FAMILIES[name]
    network = NetworkSettings.model_validate({"name": name, **settings})
    generator = build_generator(network, LatentSettings(size=12), size, classes=2)
    matrix = latent_matrix(generator).detach().double().numpy()
    _, values, rows = np.linalg.svd(matrix, full_matrices=False)
    found = closed_form_directions(generator, 12, 12)
    assert [direction.name for direction in found] == [f"closed_form_{index}" for index in range(1, 13)]
    for direction, value, row in zip(found, values, rows, strict=True):
        vector = np.array(direction.vector)
        assert direction.singular_value == pytest.approx(value, rel=1e-6)
        assert abs(vector @ row) == pytest.approx(1, abs=1e-5)
        assert vector[np.abs(vector).argmax()] > 0
    assert found[:3] == closed_form_directions(generator, 12, 3)
    gains = [float(np.linalg.norm(matrix @ np.array(direction.vector))) for direction in found]
    randoms = np.random.default_rng(0).standard_normal((1000, 12))
    others = np.linalg.norm(randoms @ matrix.T, axis=1) / np.linalg.norm(randoms, axis=1)
    assert gains[0] > others.max()
    assert gains[-1] < others.min()
    assert all(before >= after for before, after in pairwise(gains))


def test_closed_form_directions_that_do_not_exist() -> None:
    generator = build_generator(NetworkSettings(), LatentSettings(size=8), 16)
    for count in (0, 9):
        with pytest.raises(DirectionError, match=f"There are 1 to 8 directions in closed form, not {count}"):
            closed_form_directions(generator, 8, count)
    with pytest.raises(DirectionError, match="takes latents of 8 numbers, not 9"):
        closed_form_directions(generator, 9, 2)


def colours(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How red images are, and how much brighter on the left, as probabilities around the medians of the data."""
    pixels = images.astype(np.float64)
    half = images.shape[2] // 2
    red = pixels[..., 0].mean(axis=(1, 2)) - pixels.mean(axis=(1, 2, 3))
    left = pixels[:, :, :half].mean(axis=(1, 2, 3)) - pixels[:, :, half:].mean(axis=(1, 2, 3))
    return 1 / (1 + np.exp(-np.stack([red, left], axis=1) / 4))


COLOURS = Classifier(["Red", "Left"], colours, "abc")


def short_training(images: Any, settings: Any, conditional: bool) -> TrainedGenerator:
    conditions = Conditions("class", ["Even", "Odd"], np.arange(100) % 2) if conditional else None
    *_, last = train(images, settings, conditions=conditions)
    return TrainedGenerator(last.networks.generator)


@pytest.mark.parametrize("conditional", [False, True])
def test_the_document_of_a_generator(
    images: Any, make_settings: Callable[..., Any], conditional: bool, tmp_path: Any
) -> None:
    condition = {"condition": {"name": "class"}} if conditional else {}
    generator = short_training(
        images, make_settings(latent={"size": 8, "distribution": "uniform"}, **condition), conditional
    )
    settings = DirectionSettings(samples=256, effect_samples=16, closed_form=20, least_share=0.001)
    found = find_directions(generator, settings, 5, ["Odd"] if conditional else [], COLOURS)
    assert Directions.from_json(found.to_json(), "here") == found
    reports = Reports()
    assert found == find_directions(generator, settings, 5, ["Odd"] if conditional else [], COLOURS, reports)
    assert reports.parts == ["Classifying samples", "Moving samples along directions"]
    assert found.step == pytest.approx(3 / 3**0.5)
    assert found.labels == (("Odd",) if conditional else None)
    assert len(found.of_kind("closed_form")) == 8  # there are no more
    assert {one.name for one in found.of_kind("attribute")} | found.without.keys() == {"Red", "Left"}
    latents, labels = generator.draw(256, 5, ["Odd"] if conditional else [])
    if conditional:
        assert torch.equal(labels, torch.tensor([[0.0, 1.0]]).expand(256, -1))
    start = colours(generator.images(latents[-16:], labels[-16:])).mean(axis=0)
    for direction in found.directions:
        assert direction.effects.keys() == {"Red", "Left"}
        end = generator.images(latents[-16:] - found.step * torch.tensor(direction.vector), labels[-16:])
        assert direction.effects["Left"].backward == pytest.approx(colours(end).mean(axis=0)[1] - start[1], abs=1e-4)
    alone = find_directions(generator, settings, 5)
    assert [one.name for one in alone.directions] == [one.name for one in found.of_kind("closed_form")]
    assert (alone.samples, alone.classifier_digest, alone.directions[0].effects) == (0, None, {})
    with pytest.raises(KeyError, match=r"There is no direction 'Beard'\. There are: "):
        found.named("Beard")


def test_a_network_that_names_no_first_layer_is_refused(images: Any, make_settings: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="Identity does not name the first layer"):
        closed_form_directions(nn.Identity(), 8, 1)


@pytest.mark.slow
@pytest.mark.parametrize("conditional", [False, True])
def test_attributes_of_a_trained_generator_move_as_the_sign_says(
    images: Any, make_settings: Callable[..., Any], conditional: bool
) -> None:
    condition = {"condition": {"name": "class"}} if conditional else {}
    generator = short_training(images, make_settings(kimg=8, tick_kimg=8, **condition), conditional)
    found = find_directions(
        generator, DirectionSettings(samples=2048, effect_samples=512, strength=2), 0, classifier=COLOURS
    )
    assert {one.name for one in found.of_kind("attribute")} == {"Red", "Left"}
    latents, labels = generator.draw(300, seed=99)
    start = colours(generator.images(latents, labels))
    for column, name in enumerate(COLOURS.names):
        direction = found.named(name)
        assert direction.prediction is not None
        assert direction.prediction.auc > 0.8
        less, more = (
            colours(generator.images(end, labels))[:, column] - start[:, column]
            for end in moved(latents, direction, [-found.step, found.step]).unbind(1)
        )
        assert more.mean() > 0.1
        assert less.mean() < -0.1
        assert (more > 0).mean() > 0.9
        assert (less < 0).mean() > 0.9
        assert direction.effects[name].forward == pytest.approx(more.mean(), abs=0.08)  # other latents
