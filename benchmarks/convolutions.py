"""What the kernels of a discriminator's convolutions reach on this CPU, and the same numbers as matrix products.

For each layer of DCGAN's discriminator, 4x4 and stride 2: `forward`; `back`, the slope by the inputs; `weights`, the
gradient of the weights; and the last as a product of the slopes with what each output pixel sees, and copying that.
`double` is what `back` uses for few channels: a convolution to four pixels at once. In GFLOP/s, the fastest of some
calls.
"""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from machine import describe, matrix_product_ms
from torch import nn

from celeba_gan.gan.networks.layers import double
from celeba_gan.gan.networks.piecewise_linear import _patches
from celeba_gan.gan.runtime.allocator import keep_freed_memory

CALLS = 20


def seconds(call: Callable[[], object]) -> float:
    """The fastest of some calls."""
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times[2:])


def row(narrow: int, wide: int, side: int, count: int, dtype: torch.dtype) -> str:
    layer = nn.Conv2d(narrow, wide, 4, stride=2, padding=1)
    weight = layer.weight.detach().to(dtype, memory_format=torch.channels_last)
    inputs = torch.randn(count, narrow, side, side).to(dtype, memory_format=torch.channels_last)
    slopes = torch.randn(count, wide, side // 2, side // 2).to(dtype, memory_format=torch.channels_last)
    geometry = ([2, 2], [1, 1], [1, 1], False, [0, 0], 1)

    def backward(mask: list[bool]) -> Callable[[], object]:
        return lambda: torch.ops.aten.convolution_backward(slopes, inputs, weight, None, *geometry, mask)

    rows, patches = slopes.permute(0, 2, 3, 1).flatten(0, 2), _patches(inputs, layer)
    calls: list[Callable[[], object]] = [
        lambda: F.conv2d(inputs, weight, None, 2, 1),
        backward([True, False, False]),
        lambda: double(slopes, weight),
        backward([False, True, False]),
        lambda: rows.T @ patches,
        lambda: rows.T @ _patches(inputs, layer),
    ]
    operations = 2 * slopes.numel() * narrow * 16
    reached = [f"{operations / seconds(call) / 1e9:.0f}" for call in calls]
    return f"| {narrow} to {wide}, {side}x{side} to {side // 2}x{side // 2} | {count} | {' | '.join(reached)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=["bfloat16", "float32"], default="bfloat16")
    arguments = parser.parse_args()
    torch.set_num_threads(torch.get_num_threads())
    keep_freed_memory()
    print(f"Convolutions in {arguments.precision}, GFLOP/s ({describe()})")
    print(f"1024^3 float32 product {matrix_product_ms():.1f} ms")
    print("| layer | images | forward | back | double | weights | as a product | with copying |\n" + "|---" * 8 + "|")
    for width, size in ((32, 32), (64, 64)):
        narrow, wide, side = 3, width, size
        while side > 4:
            print(row(narrow, wide, side, 3 * size, getattr(torch, arguments.precision)), flush=True)
            narrow, wide, side = wide, 2 * wide, side // 2


if __name__ == "__main__":
    main()
