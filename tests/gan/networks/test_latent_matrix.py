"""The matrix that each family names is the linear part of its first layer, whatever labels and biases add."""

import pytest
import torch
from torch import Tensor, nn

from celeba_gan.gan.networks.build import build_generator, latent_matrix
from celeba_gan.gan.networks.config import LatentSettings, NetworkError, NetworkSettings

FAMILIES = {
    "dcgan": ({"dcgan": {"width": 8}}, 16, "layers.0"),
    "article": ({"article": {"width": 16}}, 112, "dense"),
    "resnet": ({"resnet": {"width": 8, "generator_norm": "none"}}, 32, "dense"),
    "r3": ({"r3": {"width": 16, "blocks": 1}}, 32, "weights"),
}


@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("name", FAMILIES)
def test_differences_of_the_first_layers_output_are_the_matrix_times_those_of_the_latents(
    name: str, classes: int | None
) -> None:
    settings, size, layer = FAMILIES[name]
    network = NetworkSettings.model_validate({"name": name, **settings})
    generator = build_generator(network, LatentSettings(size=12), size, classes).eval()
    for parameter in generator.parameters():
        nn.init.normal_(parameter, std=0.1)  # biases and embeddings start at zero
    found: list[Tensor] = []
    generator.get_submodule(layer).register_forward_hook(lambda *call: found.append(call[-1].flatten(1)))
    latents = torch.randn(5, 12)
    with torch.no_grad():
        generator(latents, *([] if classes is None else [torch.eye(3)[torch.tensor([0, 1, 2, 0, 1])]]))
    matrix = latent_matrix(generator)
    assert matrix.shape == (found[0].shape[1], 12)
    moved, expected = found[0] - found[0][:1], (latents - latents[:1]) @ matrix.T
    assert torch.allclose(moved, expected, atol=1e-5)


def test_a_generator_that_names_none() -> None:
    with pytest.raises(NetworkError, match="Linear does not name the first layer"):
        latent_matrix(nn.Linear(3, 3))
