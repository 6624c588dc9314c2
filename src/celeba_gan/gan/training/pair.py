"""The generator, the discriminator, the average of the generator, and their optimisers."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.nn.utils.parametrize import is_parametrized
from torch.optim import Adam

from celeba_gan.gan.inputs.randomness import random_generator
from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.networks.config import NetworkError
from celeba_gan.gan.networks.layers import has_batch_norm
from celeba_gan.gan.networks.spectral_norm import power_iterate
from celeba_gan.gan.runtime.hardware import Hardware
from celeba_gan.gan.schedule import factor
from celeba_gan.gan.settings import AdamSettings, PairSettings
from celeba_gan.ranks.group import ALONE, Ranks


class Pair:
    """Both networks and everything that updates them.

    A device flag, `broken`, is set by the first loss or gradient that is not finite and never cleared. It is handed to
    the fused optimisers as `found_inf` and freezes the average: from then on nothing changes, without a host sync.
    """

    def __init__(
        self,
        settings: PairSettings,
        size: int,
        hardware: Hardware,
        classes: int | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """Builds both networks with fresh weights, for images of `size` pixels and labels of so many `classes`, if any.

        Several ranks update theirs together, and alike.

        Raises:
            NetworkError: The networks do not exist at this size, or their batch norm not on the CPU with several ranks.
        """
        self.settings = settings
        self._ranks = ranks
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_generator(settings.seed, "weights", 0).initial_seed())
            generator = build_generator(settings.network, settings.latent, size, classes)
            discriminator = build_discriminator(settings.network, size, classes)
        if ranks.several and (has_batch_norm(generator) or has_batch_norm(discriminator)):
            check_batch_norm(hardware.device)
            over_ranks = nn.SyncBatchNorm.convert_sync_batchnorm
            generator, discriminator = over_ranks(generator), over_ranks(discriminator)  # type: ignore[no-untyped-call]
        self.generator = generator.to(hardware.device).to(memory_format=torch.channels_last)
        self.discriminator = discriminator.to(hardware.device).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self._fused = hardware.device in ("cpu", "cuda")  # on MPS the fused kernel ignores found_inf
        self.broken = torch.zeros((), device=hardware.device)
        self.networks = {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}
        self.adams = {"generator": settings.generator_optimizer, "discriminator": settings.discriminator_optimizer}
        self.optimizers = {name: _adam(self.networks[name], adam, self._fused) for name, adam in self.adams.items()}
        for optimizer in self.optimizers.values():
            optimizer.found_inf = self.broken if self._fused else None  # type: ignore[attr-defined]  # the fused optimiser's own protocol
        self.with_batch_norm = {name for name in self.adams if has_batch_norm(self.networks[name])}
        self.clip_weights()

    def learning_rate(self, name: str, images: int) -> float:
        """That of the generator or the discriminator, by name, after so many images."""
        adam = self.adams[name]
        return adam.learning_rate * factor(adam.schedule, images)

    def set_learning_rate(self, name: str, rate: Tensor) -> None:
        """Gives an optimiser its learning rate, a scalar on the device."""
        group = self.optimizers[name].param_groups[0]
        if self._fused:
            group["lr"].copy_(rate)
        else:
            group["lr"] = float(rate)

    def backward(self, loss: Tensor, network: nn.Module) -> None:
        """Adds a loss's gradient to that of a network's next step."""
        # backward, not grad: it lays gradients out like their parameters, which the fused kernel relies on.
        # `inputs` keeps the other network's parameters out of it.
        torch.autograd.backward(loss, inputs=list(network.parameters()))
        self._check(torch.isfinite(loss.detach()))

    def add_gradients(self, gradients: dict[str, Tensor], share: float, loss: Tensor) -> None:
        """Adds a share of a loss's gradient by the parameters of the discriminator to that of its next step.

        Of parametrised weights the gradient is by what the parametrisation makes of them.
        """
        plain, made = [], {}
        for name, gradient in gradients.items():
            parent, _, what = name.rpartition(".")
            layer = self.discriminator.get_submodule(parent)
            if is_parametrized(layer, what):
                made[getattr(layer, what)] = gradient * share
            else:
                parameter = layer.get_parameter(what)
                # In the parameter's own layout, which the fused kernel relies on.
                laid_out = torch.empty_like(parameter).copy_(gradient)
                plain.append((parameter, laid_out if share == 1 else laid_out * share))
        for parameter, gradient in plain:
            parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        if made:
            weights, by_weights = list(made), [gradient.to(weight.dtype) for weight, gradient in made.items()]
            torch.autograd.backward(weights, by_weights, inputs=list(self.discriminator.parameters()))
        self._check(torch.isfinite(loss.detach()))

    def step_discriminator(self) -> Tensor:
        """Updates the discriminator. Returns its gradient's norm, a scalar on the device."""
        norm = self._step("discriminator")
        power_iterate(self.discriminator, self.broken)
        self.clip_weights()
        return norm

    def step_generator(self, also: Sequence[Tensor] = ()) -> Tensor:
        """Updates the generator. Returns its gradient's norm, a scalar on the device.

        With several ranks, the tensors of `also` are added up over them on the way.
        """
        return self._step("generator", also)

    def average_weight(self, images: int, since: int) -> float:
        """By which share the average moves towards the generator after `images`, `since` images after the last time.

        Its half-life counts images, and is at most a share of the images seen, so that the first weights do not
        linger in a short run.
        """
        ema = self.settings.ema
        half_life = min(ema.half_life_kimg * 1000, ema.ramp_up * images)
        return float(1 - 0.5 ** (since / half_life))

    @torch.no_grad()  # a history of the average would keep a graph of every iteration
    def update_average(self, weight: Tensor) -> None:
        """Moves the average towards the generator by this share, a scalar on the device."""
        weight = (1 - self.broken) * weight.to(self.broken)
        kept: list[Tensor] = list(self.average.parameters())
        now: list[Tensor] = list(self.generator.parameters())
        steps = list(torch._foreach_sub(now, kept))
        torch._foreach_mul_(steps, weight)
        torch._foreach_add_(kept, steps)
        for kept_buffer, buffer in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            kept_buffer.copy_(torch.where(self.broken > 0, kept_buffer, buffer))

    def state_dict(self) -> dict[str, Tensor]:
        """Every tensor of both networks, the average and the optimisers, live, by name."""
        tensors: dict[str, Tensor] = {}
        for name, network in self.networks.items():
            tensors |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            for key, parameter in self.networks[name].named_parameters():
                slots = optimizer.state[parameter]
                tensors |= {f"{name}_optimizer.{key}.{slot}": value for slot, value in slots.items()}
        return tensors

    def load_state_dict(self, tensors: dict[str, Tensor]) -> None:
        """Resumes from what `state_dict` gave; other tensors are ignored."""
        for name, network in self.networks.items():
            network.load_state_dict({key: tensors[f"{name}.{key}"] for key in network.state_dict()})
        for name, optimizer in self.optimizers.items():
            for key, parameter in self.networks[name].named_parameters():
                prefix = f"{name}_optimizer.{key}."
                slots = {saved.removeprefix(prefix): tensors[saved] for saved in tensors if saved.startswith(prefix)}
                for slot, value in slots.items():
                    if value.ndim and value.shape != parameter.shape:  # copying would repeat the values
                        raise ValueError(f"{prefix}{slot} has the shape {tuple(value.shape)}")
                # Moments take the strides of their parameter: the fused kernel walks both storages flat, and a
                # contiguous moment beside a channels_last weight would be applied to the wrong places, silently.
                optimizer.state[parameter] = {
                    slot: torch.empty_like(parameter).copy_(value)
                    if value.ndim
                    else value.to(parameter.device, copy=True)
                    for slot, value in slots.items()
                }

    def forget_gradients(self) -> None:
        """Drops the gradients of steps that have not been made."""
        for network in (self.generator, self.discriminator):
            network.zero_grad()

    def _step(self, name: str, also: Sequence[Tensor] = ()) -> Tensor:
        parameters = [parameter for parameter in self.networks[name].parameters() if parameter.grad is not None]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self._ranks.several:
            self._ranks.sum_([*gradients, self.broken, *also])
            self.broken.clamp_(max=1)
        norm = get_total_norm(gradients)
        self._check(torch.isfinite(norm))
        if self.settings.clip_gradient_norm is not None:
            clip_grads_with_norm_(parameters, self.settings.clip_gradient_norm, norm)
        if self._fused or not self.broken:  # the latter reads from the device: a host sync per step
            self.optimizers[name].step()
        self.optimizers[name].zero_grad()
        return norm

    def _check(self, finite: Tensor) -> None:
        self.broken.copy_(torch.maximum(self.broken, (~finite).float()))

    @torch.no_grad()
    def clip_weights(self) -> None:
        """Keeps the discriminator's weights within the limit, if there is one; those of a broken run are there already.

        Arjovsky et al. 2017, algorithm 1, line 7.
        """
        if (limit := self.settings.weight_clip) is not None:
            weights: list[Tensor] = list(self.discriminator.parameters())
            torch._foreach_clamp_min_(weights, -limit)
            torch._foreach_clamp_max_(weights, limit)


def check_batch_norm(device: str) -> None:
    """Raises NetworkError where torch cannot normalise over the batches of several ranks."""
    if device != "cuda":
        raise NetworkError(
            "train.network.name: batch norm mixes the images of a whole batch, which torch does over several ranks on "
            f"CUDA only, and the device is {device}. Train without torchrun, or with another network than article"
        )


def _adam(network: nn.Module, settings: AdamSettings, fused: bool) -> Adam:
    # Python floats: torch refuses betas of which one is an int.
    betas = (float(settings.beta1), float(settings.beta2))
    if not fused:
        return Adam(network.parameters(), lr=settings.learning_rate, betas=betas)
    # The learning rate is a scalar on the device, so that a recorded step reads what it is now. CUDA's kernel takes
    # float32, the CPU's any.
    device = next(network.parameters()).device
    dtype = torch.float32 if device.type == "cuda" else torch.float64
    rate = torch.tensor(settings.learning_rate, dtype=dtype, device=device)
    return Adam(network.parameters(), lr=rate, betas=betas, fused=True, capturable=device.type == "cuda")
