"""Tiny generators, and what is known about them."""

from dataclasses import replace
from typing import Any

import torch

from celeba_gan.exporting.subject import Subject, TrainingData, describe
from celeba_gan.gan.networks.build import build_generator
from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.cards import ModelCard
from celeba_gan.gan.runs.snapshot import Network
from celeba_gan.gan.sampling.trained import TrainedGenerator

CONDITIONS = {
    "plain": None,
    "attributes": Condition(
        kind="attributes",
        names=("Male", "Wearing_Hat", "Smiling"),
        sets=((), (0,), (0, 2), (1, 2)),
        counts=(40, 10, 20, 30),
        digest="d",
    ),
    "class": Condition(
        kind="class", names=("not Male", "Male"), sets=((0,), (1,)), counts=(30, 70), digest="d"
    ),
}  # fmt: skip


FAMILIES: dict[str, tuple[dict[str, Any], int]] = {
    "dcgan": ({"width": 4}, 16),
    "article": ({"width": 16}, 112),
    "resnet": ({"width": 4}, 32),
    "r3": ({"width": 16, "blocks": 1}, 32),
}


def make_network(kind: str = "plain", distribution: str = "normal", noise: float = 0.2, **changes: Any) -> Network:
    """A generator whose images depend on latents and labels, by noise in its weights; `changes` are of its card."""
    torch.manual_seed(0)
    condition = CONDITIONS[kind]
    plain: dict[str, Any] = {
        "id": "one",
        "images": 7000,
        "finished": True,
        "init_from": None,
        "best": None,
        "size": 16,
        "random_crop": None,
        "data_digest": "d" * 16,
        "condition": condition,
        "network": NetworkSettings.model_validate({"dcgan": {"width": 8}}),
        "latent": LatentSettings(size=12, distribution=distribution),
        "objective": "wgan",
        "probability": "centred_sigmoid",
    }
    card = ModelCard.model_validate(plain | changes)
    module = build_generator(card.network, card.latent, card.size, None if condition is None else len(condition.names))
    with torch.no_grad():
        for weights in module.parameters():
            weights.add_(noise * torch.randn_like(weights))
    return Network("generator", card, module.state_dict())


def make_family(family: str) -> Network:
    """A tiny generator of a family, without labels."""
    settings, size = FAMILIES[family]
    network = NetworkSettings.model_validate({"name": family, family: settings})
    noise = 0.05 if family == "r3" else 0.2  # it ends without a tanh: more noise gives images of thousands
    return make_network(noise=noise, size=size, network=network)


def make_subject(trained: TrainedGenerator, **changes: Any) -> Subject:
    found = describe("tiny", trained, "last", run=None, data=TrainingData("synthetic", 3300), evaluation=None)
    return replace(found, **changes)
