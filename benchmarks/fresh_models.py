"""Generators with fresh weights, for what costs the same whatever the weights are."""

import torch

from celeba_gan.gan.networks.build import build_generator
from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.cards import ModelCard
from celeba_gan.gan.runs.snapshot import Network


def fresh_generator(
    network: NetworkSettings, latent: LatentSettings, size: int, condition: Condition | None = None
) -> Network:
    """A generator as if it had been trained, with weights drawn from seed 0."""
    card = ModelCard(
        id="fresh",
        images=0,
        finished=True,
        init_from=None,
        best=None,
        size=size,
        random_crop=None,
        data_digest="",
        condition=condition,
        network=network,
        latent=latent,
        objective="wgan",
        probability="centred_sigmoid",
    )
    torch.manual_seed(0)
    module = build_generator(network, latent, size, len(condition.names) if condition else None)
    return Network("generator", card, module.state_dict())
