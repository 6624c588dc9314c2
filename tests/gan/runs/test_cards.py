"""What a snapshot's card says: on disk, and as the card of its networks."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from celeba_gan.gan.inputs.conditions import Conditions
from celeba_gan.gan.inputs.feed import TrainingImages
from celeba_gan.gan.runs.cards import ModelCard, RunCard
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import train


@pytest.fixture
def card(images: TrainingImages, make_settings: Callable[..., TrainSettings]) -> RunCard:
    """Of a training in which everything that a card can say is there."""
    settings = make_settings(condition={"name": "class"}, evaluate_every_kimg=0.08, keep_states=3, keep_best=True)
    conditions = Conditions("class", ("a", "b"), np.arange(100) % 2)
    values = iter((4.0, 3.0, 2.0, 1.0))
    *_, last = train(
        images, settings, conditions=conditions, measure=lambda sample: {"swd_absolute_valid": next(values)}
    )
    return last.snapshot.card


def test_round_trip_through_json(card: RunCard) -> None:
    stored = json.loads(json.dumps(card.to_json()))
    again = RunCard.from_json(stored, "here")
    assert again.to_json() == card.to_json() == stored
    assert again.of_networks() == card.of_networks()
    assert ModelCard.from_json(card.of_networks().to_json(), "here") == card.of_networks()


def test_stored_names_are_those_of_the_format(card: RunCard) -> None:
    networks = {
        "format_version", "id", "images", "finished", "init_from", "best", "size", "random_crop", "data_digest",
        "condition", "network", "latent", "objective", "probability",
    }  # fmt: skip
    stored = card.to_json()
    assert card.of_networks().to_json().keys() == networks
    assert stored.keys() == networks | {"iteration", "course", "identity", "hardware", "health", "keep"}
    assert stored["format_version"] == 2
    assert stored["course"] == list(card.history) == [0, 80, 160, 240]
    assert stored["best"] == {"metric": "swd_absolute_valid", "evaluate_images": 256, "value": 1.0, "images": 320}
    assert stored["keep"] == {"states": 3, "best": True}
    assert stored["hardware"].keys() == {"device", "device_name", "precision", "threads", "torch", "ranks", "compiled"}
    assert stored["health"].keys() == {"best", "penalty", "auc"}


def test_parts_are_those_of_the_whole(card: RunCard) -> None:
    networks = card.of_networks()
    assert type(networks) is ModelCard
    assert all(getattr(networks, name) == getattr(card, name) for name in ModelCard.model_fields)
    own: dict[str, Any] = {name: getattr(card, name) for name in RunCard.model_fields if name not in networks.to_json()}
    assert RunCard.extend(networks, **own) == card
