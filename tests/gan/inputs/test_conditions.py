import copy
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from celeba_gan.foundation.params import read_params
from celeba_gan.gan.inputs.conditions import (
    MOST_SETS,
    ConditionError,
    Conditions,
    conditioned,
    draw_grid,
    draw_labels,
    named_labels,
)
from celeba_gan.gan.inputs.feed import ImageFeed, TrainingImages
from celeba_gan.gan.networks.config import LatentSettings
from celeba_gan.gan.runtime.hardware import choose_hardware
from celeba_gan.gan.sampling.config import GenerateSettings
from celeba_gan.gan.sampling.trained import TrainedDiscriminator, TrainedGenerator
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import Tick, TrainingError, train
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps

MakeSettings = Callable[..., TrainSettings]
CLASSES = Conditions("class", ("not Hat", "Hat", "Hat + Tie"), np.arange(100) % 3)
ATTRIBUTES = Conditions(
    "attributes", ("Hat", "Tie"), np.stack([np.arange(100) % 2, np.arange(100) % 5 == 0], 1).astype(np.int64)
)


def ticks_of(images: TrainingImages, settings: TrainSettings, conditions: Conditions, **options: Any) -> list[Tick]:
    return [
        replace(tick, snapshot=copy.deepcopy(tick.snapshot))
        for tick in train(images, settings, conditions=conditions, **options)
    ]


def test_labels_are_one_hot_or_multi_hot() -> None:
    indices = torch.tensor([0, 1, 5])
    assert CLASSES.labels(indices).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert ATTRIBUTES.labels(indices).tolist() == [[0, 1], [1, 0], [1, 1]]
    assert Conditions.none().labels(indices).shape == (3, 0)


def test_card_counts_the_combinations_of_the_training_images() -> None:
    card = ATTRIBUTES.card(0, 80)
    assert card is not None
    assert card.names == ("Hat", "Tie")
    assert dict(zip(card.sets, card.counts, strict=True)) == {
        (): 32,
        (0,): 32,
        (1,): 8,
        (0, 1): 8,
    }
    assert Conditions.none().card(0, 80) is None


def test_card_does_not_care_how_the_labels_lie_in_memory() -> None:
    columns = replace(ATTRIBUTES, values=np.asfortranarray(ATTRIBUTES.values))
    assert columns.card(3, 77) == ATTRIBUTES.card(3, 77)


def test_card_of_very_many_combinations_stays_small_and_fair() -> None:
    values = np.random.default_rng(0).integers(0, 2, (20_000, 20))
    values[:, 0] = np.arange(20_000) % 4 == 0
    card = Conditions("attributes", [f"a{i}" for i in range(20)], values).card(0, 20_000)
    assert card is not None
    assert sum(card.counts) == MOST_SETS
    share = sum(count for columns, count in zip(card.sets, card.counts, strict=True) if 0 in columns) / MOST_SETS
    assert share == pytest.approx(0.25, abs=0.02)


def test_drawn_labels_are_as_frequent_as_in_training() -> None:
    labels = draw_labels(ATTRIBUTES.card(0, 80), 20_000, torch.Generator().manual_seed(0))
    assert labels.mean(0).tolist() == pytest.approx([0.5, 0.2], abs=0.01)


def test_grid_has_a_label_per_row_and_a_latent_per_column() -> None:
    latents, labels = draw_grid(LatentSettings(size=5), CLASSES.card(0, 80), 4, 6, torch.Generator().manual_seed(0))
    assert latents.shape == (24, 5)
    assert torch.equal(latents[:6], latents[18:])
    assert not torch.equal(latents[0], latents[1])
    assert labels.view(4, 6, 3).argmax(2).tolist() == [[0] * 6, [1] * 6, [2] * 6, [0] * 6]


@pytest.mark.parametrize(
    ("conditions", "asked", "label"),
    [
        (CLASSES, ["Hat"], [0, 1, 0]),
        (CLASSES, ["Hat", "Tie"], [0, 0, 1]),
        (CLASSES, ["Hat + Tie"], [0, 0, 1]),
        (CLASSES, ["Tie", "Hat"], [0, 0, 1]),
        (ATTRIBUTES, ["Tie"], [0, 1]),
        (ATTRIBUTES, ["Tie", "Hat"], [1, 1]),
    ],
)
def test_labels_by_name(conditions: Conditions, asked: list[str], label: list[float]) -> None:
    assert named_labels(conditions.card(0, 80), asked).tolist() == label


def test_unknown_names_are_refused_with_those_there_are() -> None:
    with pytest.raises(ConditionError, match=r"'Scarf'[\s\S]*Hat, Tie"):
        named_labels(ATTRIBUTES.card(0, 80), ["Scarf"])
    with pytest.raises(ConditionError, match="takes no labels"):
        named_labels(None, ["Hat"])


SAME_PARTS = Conditions("class", ("R+B", "R + B", "B+R", "G+B", "B+G"), np.arange(100) % 5)


@pytest.mark.parametrize(
    ("asked", "name"),
    [(["R+B"], "R+B"), (["R + B"], "R + B"), (["B+R"], "B+R"), (["B", "R"], "B+R"), (["G", "B"], "G+B")],
)
def test_an_exact_name_wins_over_those_with_the_same_parts(asked: list[str], name: str) -> None:
    label = named_labels(SAME_PARTS.card(0, 80), asked)
    assert label.nonzero().tolist() == [[SAME_PARTS.names.index(name)]]


@pytest.mark.parametrize("asked", [["R", "B"], ["B  + R"]])
def test_a_name_that_several_classes_may_mean_is_refused_with_what_to_type(
    asked: list[str],
) -> None:
    with pytest.raises(ConditionError, match=r"can be 'R\+B' or 'R \+ B' or 'B\+R'.* exact name in brackets") as caught:
        named_labels(SAME_PARTS.card(0, 80), asked, "generate.labels")
    typed = shlex.split(str(caught.value).partition("as in --params ")[2])[0]
    labels = GenerateSettings.model_validate(read_params(typed, {"generate": GenerateSettings})["generate"]).labels
    assert named_labels(SAME_PARTS.card(0, 80), labels).tolist() == [1, 0, 0, 0, 0]


def test_in_python_an_ambiguous_name_is_refused_with_a_list() -> None:
    with pytest.raises(ConditionError, match=r"as in labels=\['R\+B'\]$"):
        named_labels(SAME_PARTS.card(0, 80), ["R", "B"])


LOOSE = Conditions("attributes", ("Male", "Blond_Hair", "hat", "Hat"), np.zeros((100, 4), np.int64))
LOOSE_CLASSES = Conditions("class", ("none", "Blond_Hair + Male"), np.arange(100) % 2)


@pytest.mark.parametrize(
    ("conditions", "asked", "label"),
    [
        (LOOSE, ["male"], [1, 0, 0, 0]),
        (LOOSE, ["Blond Hair", "MALE"], [1, 1, 0, 0]),
        (LOOSE, [" blond_hair "], [0, 1, 0, 0]),
        (LOOSE, ["Hat"], [0, 0, 0, 1]),
        (LOOSE_CLASSES, ["male", "blond hair"], [0, 1]),
    ],
)
def test_case_and_blanks_do_not_matter_where_one_name_is_left(
    conditions: Conditions, asked: list[str], label: list[float]
) -> None:
    assert named_labels(conditions.card(0, 80), asked).tolist() == label


def test_case_matters_among_names_that_differ_in_nothing_else() -> None:
    with pytest.raises(ConditionError, match="'HAT' can be 'hat' or 'Hat'"):
        named_labels(LOOSE.card(0, 80), ["HAT"])


def test_labels_are_repeated_for_several_batches_after_each_other() -> None:
    seen: list[Tensor] = []

    def network(images: Tensor, labels: Tensor) -> Tensor:
        seen.append(labels)
        return images

    labels = torch.eye(3)
    conditioned(network, labels)(torch.zeros(6, 1))
    assert torch.equal(seen[0], torch.cat([labels, labels]))
    assert conditioned(network, torch.zeros(3, 0)) is network


@pytest.mark.parametrize("network", ["dcgan", "resnet", "r3"])
@pytest.mark.parametrize("conditions", [CLASSES, ATTRIBUTES], ids=lambda conditions: conditions.kind)
def test_conditional_training_resumes_exactly(
    images_at: Callable[[int], TrainingImages], make_settings: MakeSettings, network: str, conditions: Conditions
) -> None:
    widths = {"width": 8, "max_width": 16}
    settings = make_settings(
        condition={"name": conditions.kind},
        network={"name": network, "dcgan": widths, "resnet": widths, "r3": {**widths, "blocks": 1, "group_size": 8}},
        kimg=0.064,
        tick_kimg=0.032,
    )
    images = images_at(32)
    whole = ticks_of(images, settings, conditions)
    resumed = ticks_of(images, settings, conditions, resumed=whole[1].snapshot)
    assert whole[-1].snapshot.tensors.keys() == resumed[-1].snapshot.tensors.keys()
    for name, tensor in whole[-1].snapshot.tensors.items():
        assert torch.equal(tensor, resumed[-1].snapshot.tensors[name]), name


def test_feed_gives_the_labels_of_the_images_it_gives(make_settings: MakeSettings) -> None:
    """Images whose pixels are their index, behind others that come first in the pack."""

    class Numbered:
        size, digest = 16, "numbered"

        def split(self, name: str) -> tuple[int, int]:
            return {"train": (20, 100), "valid": (0, 10), "test": (10, 20)}[name]

        def gather(self, indices: Any) -> Any:
            return np.broadcast_to(indices[:, None, None, None].astype(np.uint8), (len(indices), 16, 16, 3)).copy()

    settings = make_settings()
    feed = ImageFeed(settings, Numbered(), choose_hardware(settings, None), CLASSES)
    for step in range(25):
        images, labels = feed.batch(feed.draw(step))
        numbers = images[:, 0, 0, 0].add(1).mul(127.5).round().long()
        assert torch.equal(labels.argmax(1), numbers % 3)


def test_the_discriminator_learns_from_labels(images: TrainingImages, make_settings: MakeSettings) -> None:
    """With other labels the same images train to other weights; the projection of every class has moved."""
    settings = make_settings(condition={"name": "class"})
    first = ticks_of(images, settings, CLASSES)
    second = ticks_of(images, settings, replace(CLASSES, values=CLASSES.values[::-1].copy()))
    name = next(name for name in first[0].snapshot.tensors if name.startswith("discriminator.projection"))
    assert not torch.equal(first[-1].snapshot.tensors[name], second[-1].snapshot.tensors[name])
    moved = (first[-1].snapshot.tensors[name] - first[0].snapshot.tensors[name]).abs()
    assert moved.amax(dim=1 - int(moved.shape[0] != 3)).min() > 0


def test_gradients_with_labels_do_not_depend_on_the_micro_batch(
    images: TrainingImages, make_settings: MakeSettings
) -> None:
    common = {"condition": {"name": "class"}, "kimg": 0.016, "tick_kimg": 0.016, "precision": "float32"}
    whole = ticks_of(images, make_settings(**common), CLASSES)[-1].rows[0]
    split = ticks_of(images, make_settings(**common, micro_batch=2), CLASSES)[-1].rows[0]
    for name in ("discriminator_gradient", "discriminator_loss", "penalty", "generator_loss"):
        assert split[name] == pytest.approx(whole[name], rel=2e-4), name


def test_other_labels_are_another_run(images: TrainingImages, make_settings: MakeSettings) -> None:
    settings = make_settings(condition={"name": "class"}, kimg=0.08)
    state = ticks_of(images, settings, CLASSES)[-1].snapshot
    with pytest.raises(TrainingError, match=r"labels: not Hat, Hat, Hat \+ Tie in the snapshot, none now"):
        ticks_of(images, make_settings(kimg=0.16), Conditions.none(), resumed=state)
    shuffled = replace(CLASSES, values=CLASSES.values[::-1].copy())
    with pytest.raises(TrainingError, match="the images had other labels"):
        ticks_of(images, make_settings(condition={"name": "class"}, kimg=0.16), shuffled, resumed=state)


def test_trained_networks_take_the_labels_they_were_trained_with(
    images: TrainingImages, make_settings: MakeSettings
) -> None:
    settings = make_settings(condition={"name": "class"}, kimg=0.32)
    last = ticks_of(images, settings, CLASSES)[-1]
    networks = last.networks
    assert networks.discriminator is not None
    generator, discriminator = TrainedGenerator(networks.generator), TrainedDiscriminator(networks.discriminator)
    batches = list(generator.batches(50, seed=1, batch_size=16))
    pictures, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert pictures.shape == (50, 16, 16, 3)
    assert (labels.sum(1) == 1).all()
    assert len(np.unique(labels.argmax(1))) == 3
    again = generator.sample(50, seed=1)
    assert np.abs(pictures.astype(int) - again).max() <= 1
    hats = generator.sample(50, seed=1, labels=["Hat"])
    asked = labels.argmax(1) == 1
    assert np.abs(pictures[asked].astype(int) - hats[asked]).max() <= 1
    assert (pictures[~asked] != hats[~asked]).any()
    scores = discriminator.scores(pictures, labels)
    assert scores.shape == (50,)
    assert not np.allclose(scores, discriminator.scores(pictures, np.roll(labels, 1, axis=1)))
    assert generator.grid(3, 4, seed=0).shape == (12, 16, 16, 3)


def test_conditional_with_one_class_learns_as_unconditional(
    images: TrainingImages, make_settings: MakeSettings
) -> None:
    """One class says nothing: with the label's own weights at rest the losses of a step are those without labels."""
    plain = make_settings(precision="float32")
    hardware = choose_hardware(plain, None)
    without = Steps(plain, hardware, Pair(plain, 16, hardware))
    told = Steps(plain, hardware, Pair(plain, 16, hardware, classes=1))
    for name in ("generator", "discriminator"):
        bare, with_labels = getattr(without.pair, name), getattr(told.pair, name)
        own = with_labels.state_dict()
        rest = {key: torch.zeros_like(value) for key, value in own.items() if key not in bare.state_dict()}
        assert rest
        with_labels.load_state_dict(bare.state_dict() | rest)
    feed = ImageFeed(plain, images, hardware)
    drawn = feed.draw(0)
    first = without.step_discriminator(feed, drawn | {"labels": torch.zeros(8, 0)}, 0, 16)
    second = told.step_discriminator(feed, drawn | {"labels": torch.ones(8, 1)}, 0, 16)
    for term in ("discriminator_loss", "penalty", "score_real", "score_fake"):
        assert second[term].item() == pytest.approx(first[term].item(), rel=1e-4), term
