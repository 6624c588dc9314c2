"""What classes add, and that one class adds nothing but a reparametrisation."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.networks.config import LatentSettings, NetworkError, NetworkSettings
from celeba_gan.gan.networks.layers import ConditionalPixelNorm, PixelNorm, Projection

LATENT = LatentSettings(size=6)
NETWORKS = {
    "dcgan": ({"dcgan": {"width": 4}}, 16),
    "article": ({"name": "article", "article": {"width": 16}}, 112),
    "resnet": ({"name": "resnet", "resnet": {"width": 4, "max_width": 8}}, 32),
    "resnet without norm": (
        {"name": "resnet", "resnet": {"width": 4, "max_width": 8, "generator_norm": "none"}},
        32,
    ),
    "r3": ({"name": "r3", "r3": {"width": 4, "max_width": 8, "group_size": 4}}, 32),
}

LARGE = pytest.param("article", marks=pytest.mark.slow)  # it exists at 112 pixels alone
EACH = [LARGE if name == "article" else name for name in NETWORKS]


def pair(name: str, classes: int | None) -> tuple[nn.Module, nn.Module]:
    values, size = NETWORKS[name]
    network = NetworkSettings.model_validate(values)
    torch.manual_seed(0)
    generator = build_generator(network, LATENT, size, classes)
    return generator.double(), build_discriminator(network, size, classes).double()


def trained(name: str, classes: int, labels: Tensor) -> tuple[nn.Module, nn.Module]:
    """A conditional pair after five steps of each network."""
    generator, discriminator = pair(name, classes)
    adams = [torch.optim.Adam(net.parameters(), lr=1e-2, betas=(0.0, 0.9)) for net in (generator, discriminator)]
    real = torch.rand(len(labels), 3, *2 * [NETWORKS[name][1]], dtype=torch.float64) * 2 - 1
    for _ in range(5):
        fake = generator(torch.randn(len(labels), LATENT.size, dtype=torch.float64), labels)
        loss = nn.functional.softplus(discriminator(fake.detach(), labels) - discriminator(real, labels)).mean()
        adams[1].zero_grad()
        loss.backward()
        adams[1].step()
        adams[0].zero_grad()
        nn.functional.softplus(-discriminator(fake, labels)).mean().backward()
        adams[0].step()
    return generator, discriminator


def score_weight(discriminator: nn.Module) -> Tensor:
    """The weight of the last linear layer, (1, channels) or (1, channels, height, width)."""
    last = discriminator.layers[-1] if not hasattr(discriminator, "score") else discriminator.score
    channels = discriminator.projection.embedding.weight.shape[0]
    return last.weight.view(1, channels, *((-1,) if last.weight.numel() > channels else ()))


@pytest.mark.parametrize("name", EACH)
def test_a_conditional_pair_starts_as_the_unconditional_one_of_the_same_seed(name: str) -> None:
    """Same outputs to the bit, and same gradients of the parameters they share, whatever the labels."""
    latents = torch.randn(2, LATENT.size, dtype=torch.float64)
    labels = torch.tensor([[0.0, 1, 0], [1, 0, 1]], dtype=torch.float64)
    plain, conditional = pair(name, None), pair(name, 3)
    expected, found = plain[0](latents), conditional[0](latents, labels)
    assert torch.equal(found, expected)
    scores = plain[1](expected), conditional[1](found, labels)
    assert torch.equal(*scores)
    for score in scores:
        score.square().sum().backward()
    for net, other in zip(plain, conditional, strict=True):
        shared = dict(other.named_parameters())
        for key, parameter in net.named_parameters():
            torch.testing.assert_close(shared[key].grad, parameter.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", EACH)
def test_a_discriminator_of_one_class_is_an_unconditional_one_whose_score_has_other_weights(name: str) -> None:
    """After training: fold the class's vector into the weights of the score."""
    labels = torch.ones(4, 1, dtype=torch.float64)
    _, conditional = trained(name, 1, labels)
    _, plain = pair(name, None)
    plain.load_state_dict({key: value for key, value in conditional.state_dict().items() if "projection" not in key})
    images = torch.rand(4, 3, *2 * [NETWORKS[name][1]], dtype=torch.float64)
    assert (plain(images) - conditional(images, labels)).abs().min() > 1e-6
    with torch.no_grad():
        vector = conditional.projection.embedding.weight  # (channels, 1)
        plain.projection = conditional.projection
        score_weight(plain).add_(vector.T if score_weight(plain).ndim == 2 else vector[None])
        plain.projection = None
    torch.testing.assert_close(plain(images), conditional(images, labels), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [LARGE, "resnet without norm", "r3"])
def test_a_joined_generator_of_one_class_is_an_unconditional_one_with_another_bias(name: str) -> None:
    labels = torch.ones(4, 1, dtype=torch.float64)
    conditional, _ = trained(name, 1, labels)
    plain, _ = pair(name, None)
    plain.load_state_dict({key: value for key, value in conditional.state_dict().items() if "embedding" not in key})
    dense = plain.weights if name == "r3" else plain.dense
    bias = conditional.embedding.weight.detach()[:, 0]
    assert bias.abs().min() > 0
    dense.bias = nn.Parameter(bias if dense.bias is None else dense.bias.detach() + bias)
    latents = torch.randn(4, LATENT.size, dtype=torch.float64)
    torch.testing.assert_close(plain(latents), conditional(latents, labels), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["dcgan", "resnet"])
def test_a_normed_generator_of_one_class_is_an_unconditional_one_with_a_gain_and_shift_after_each_norm(
    name: str,
) -> None:
    labels = torch.ones(4, 1, dtype=torch.float64)
    conditional, _ = trained(name, 1, labels)
    plain, _ = pair(name, None)
    affine = [module for module in conditional.modules() if isinstance(module, ConditionalPixelNorm)]
    plain.load_state_dict(
        {k: v for k, v in conditional.state_dict().items() if not k.endswith(("gain.weight", "shift.weight"))}
    )

    def gain_and_shift(norm: ConditionalPixelNorm) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        gain, shift = norm.gain.weight.view(1, -1, 1, 1), norm.shift.weight.view(1, -1, 1, 1)
        return lambda module, inputs, output: output * (1 + gain) + shift

    norms = [module for module in plain.modules() if isinstance(module, PixelNorm)]
    for norm, its_affine in zip(norms, affine, strict=True):
        norm.register_forward_hook(gain_and_shift(its_affine))
    latents = torch.randn(4, LATENT.size, dtype=torch.float64)
    torch.testing.assert_close(plain(latents), conditional(latents, labels), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", EACH)
def test_labels_matter_once_trained(name: str) -> None:
    labels = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0]], dtype=torch.float64)
    generator, discriminator = trained(name, 2, labels)
    generator.eval()
    images = generator(torch.randn(1, LATENT.size, dtype=torch.float64).expand(4, -1), labels)
    scores = discriminator(images[:1].expand(4, -1, -1, -1), labels)
    for i in range(4):
        for j in range(i):
            assert (images[i] - images[j]).abs().max() > 1e-4
            assert (scores[i] - scores[j]).abs() > 1e-6


def test_projection_is_the_papers_inner_product() -> None:
    """Miyato and Koyama 2018, equation 3: y^T V phi, phi summed over space; a multi-hot label sums its vectors."""
    projection = Projection(3, 4).double()
    nn.init.normal_(projection.embedding.weight)
    features = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    labels = torch.tensor([[0, 1, 0], [1, 0, 1]], dtype=torch.float64)
    phi, table = features.sum(dim=(2, 3)), projection.embedding.weight
    expected = torch.stack([phi[0] @ table[:, 1], phi[1] @ (table[:, 0] + table[:, 2])])
    torch.testing.assert_close(projection(features, labels), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", EACH)
def test_missing_unexpected_and_misshapen_labels_are_refused(name: str) -> None:
    latents = torch.randn(2, LATENT.size, dtype=torch.float64)
    images = torch.zeros(2, 3, *2 * [NETWORKS[name][1]], dtype=torch.float64)
    for net, inputs in zip(pair(name, None), (latents, images), strict=True):
        with pytest.raises(NetworkError, match="built without classes and takes no labels"):
            net(inputs, torch.ones(2, 1))
    for net, inputs in zip(pair(name, 3), (latents, images), strict=True):
        with pytest.raises(NetworkError, match=r"labels of shape \(batch, 3\), one column a class; got none"):
            net(inputs)
        with pytest.raises(NetworkError, match=r"labels of shape \(batch, 3\).*got shape \(2, 2\)"):
            net(inputs, torch.ones(2, 2))
