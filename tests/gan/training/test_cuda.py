"""What holds on the CPU holds on a CUDA device, too; needs one."""

import copy
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from celeba_gan.evaluation.features.classifier import AttributeClassifier, AttributeNetwork
from celeba_gan.gan.inputs.feed import Draws, ImageFeed
from celeba_gan.gan.runs.cards import RunCard
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.snapshot import SNAPSHOT, Snapshot
from celeba_gan.gan.runtime.compiling import Compiler
from celeba_gan.gan.runtime.hardware import Hardware, OutOfMemoryError, choose_hardware
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.loop import Tick, TrainingError, train
from celeba_gan.gan.training.pair import Pair
from celeba_gan.gan.training.steps import Steps, _gradients

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

DEVICE = "cuda"
SIZE, WIDTH, BATCH = 64, 32, 64
SMALL = 32  # pixels, where the CPU computes as much, in float64
NO_PENALTY: dict[str, Any] = {"gradient_penalty": {"weight": 0}}
R1_R2: dict[str, Any] = {**NO_PENALTY, "r1": {"weight": 1}, "r2": {"weight": 1}}
RESNET: dict[str, Any] = {"network": {"name": "resnet", "resnet": {"width": WIDTH}}}
R3: dict[str, Any] = {
    "network": {"name": "r3", "r3": {"width": WIDTH, "max_width": 2 * WIDTH}},
    "objective": {"name": "rpgan"},
    "penalty": R1_R2,
}
STILL = {"learning_rate": 1e-30}  # no weight moves, so that all steps are of the same networks
MOVING = {"name": "linear", "warm_up_kimg": 0.1, "end_kimg": 0.4}
ADA: dict[str, Any] = {"name": "ada", "ada": {"speed_kimg": 1, "interval": 1, "target": 0.01}}
VARIANTS: dict[str, dict[str, Any]] = {
    "float32, dcgan": {"precision": "float32"},
    "bfloat16, dcgan": {"precision": "bfloat16"},
    "float32, resnet": {"precision": "float32", **RESNET},
    "bfloat16, resnet": {"precision": "bfloat16", **RESNET},
    "tf32, resnet": {"precision": "tf32", **RESNET},
    "float32, r3": {"precision": "float32", **R3},
    "bfloat16, r3": {"precision": "bfloat16", **R3},
    "bfloat16, lazy": {
        "precision": "bfloat16",
        "objective": {"name": "hinge"},
        "penalty": {**R1_R2, "every": 3, "schedule": MOVING},
        "generator_optimizer": {"beta1": 0.5, "schedule": MOVING},
        "micro_batch": BATCH // 4,
        "clip_gradient_norm": 1,
    },
    "bfloat16, ada": {"precision": "bfloat16", "augment": ADA},
    "float32, ada": {"precision": "float32", "augment": ADA},
    "float32, strong ada": {"precision": "float32", "augment": {"name": "ada", "ada": {"p": 0.5}}},
    "float32, diffaugment": {"precision": "float32", "augment": {"name": "diffaugment"}},
    "float32, spectral norm": {
        "precision": "float32",
        "network": {"spectral_norm": True, "dcgan": {"width": WIDTH}},
        "objective": {"name": "hinge"},
        "penalty": NO_PENALTY,
    },
}


class Pictures:
    """Packed images as training sees them: smooth random pictures."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.digest = f"random-{size}"
        coarse = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
        self.pixels = coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2)

    def split(self, name: str) -> tuple[int, int]:
        return {"train": (0, 200), "valid": (200, 250), "test": (250, 300)}[name]

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.pixels[indices]


@pytest.fixture(autouse=True)
def flags_as_before() -> Iterator[None]:
    """`choose_hardware` sets switches of the whole process."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32
    yield
    torch.use_deterministic_algorithms(False)
    cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = before


def make(**changes: Any) -> TrainSettings:
    small: dict[str, Any] = {
        "kimg": 12 * BATCH / 1000,  # three ticks of two iterations
        "tick_kimg": 4 * BATCH / 1000,
        "batch_size": BATCH,
        "n_critic": 2,
        "network": {"dcgan": {"width": WIDTH}},
        "latent": {"size": 32},
        "grid": {"rows": 1, "columns": 4},
        "threads": 1,
        "device": DEVICE,
        "compile": False,
    }
    return TrainSettings.model_validate(small | changes)


def run(settings: TrainSettings, resumed: Snapshot | None = None, size: int = SIZE) -> list[Tick]:
    """All ticks, with copies of their tensors: a tick's own are live."""
    return [replace(tick, snapshot=copy.deepcopy(tick.snapshot)) for tick in train(Pictures(size), settings, resumed)]


def through_disk(snapshot: Snapshot, folder: Path) -> Snapshot:
    snapshot.save(folder / "state.safetensors")
    return Checkpoint.load(folder / "state.safetensors", SNAPSHOT, RunCard)


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert not [name for name, tensor in first.items() if not torch.equal(tensor.cpu(), second[name].cpu())]


def largest_difference(first: Tensor, second: Tensor) -> float:
    """As a share of the largest value."""
    return float((first.cpu() - second.cpu()).abs().max() / second.abs().max())


# --- bits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_resumed_run_is_bit_identical(tmp_path: Path, variant: str) -> None:
    settings = make(**VARIANTS[variant])
    undisturbed = run(settings)
    resumed = run(settings, through_disk(undisturbed[1].snapshot, tmp_path))
    assert_same(undisturbed[-1].snapshot.tensors, resumed[-1].snapshot.tensors)
    assert undisturbed[-1].snapshot.card == resumed[-1].snapshot.card
    assert np.array_equal(undisturbed[-1].samples, resumed[-1].samples)


@pytest.mark.parametrize("recipe", [{}, RESNET, R3], ids=["dcgan", "resnet", "r3"])
def test_bits_do_not_depend_on_what_the_process_did_before(recipe: dict[str, Any]) -> None:
    (*_, first) = run(make(precision="float32", **recipe))
    ones = torch.ones(1, requires_grad=True)
    for _ in range(100_000):  # autograd numbers its steps, and has numbered more of them now in this thread
        ones * 2
    (*_, second) = run(make(precision="float32", **recipe))
    assert_same(first.snapshot.tensors, second.snapshot.tensors)


@pytest.mark.slow
def test_so_is_a_compiled_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = make(precision="bfloat16", compile=True, **R3)
    with caplog.at_level(logging.WARNING):
        undisturbed = run(settings)
        state = through_disk(undisturbed[1].snapshot, tmp_path)
        resumed = run(settings, state)
    assert "torch.compile" not in caplog.text
    assert_same(undisturbed[-1].snapshot.tensors, resumed[-1].snapshot.tensors)


@pytest.mark.parametrize("variant", VARIANTS)
def test_graphs_have_the_bits_of_no_graphs(variant: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = make(**VARIANTS[variant], graphs=False)
    *_, expected = run(settings)
    with caplog.at_level(logging.WARNING):
        *_, found = run(settings.model_copy(update={"graphs": True}))
    assert "CUDA graphs" not in caplog.text
    assert_same(expected.snapshot.tensors, found.snapshot.tensors)
    assert expected.snapshot.card.hardware == found.snapshot.card.hardware


@pytest.mark.parametrize("data", ["stream", "resident"])
def test_graphs_read_images_wherever_the_pixels_lie(data: str) -> None:
    settings = make(data=data, random_crop=SIZE // 2, mirror=True)
    *_, expected = run(settings)
    *_, found = run(settings.model_copy(update={"graphs": True}))
    assert_same(expected.snapshot.tensors, found.snapshot.tensors)


def test_a_run_resumed_with_graphs_is_the_undisturbed_one(tmp_path: Path) -> None:
    settings = make(precision="bfloat16", graphs=True)
    undisturbed = run(settings)
    resumed = run(settings, through_disk(undisturbed[1].snapshot, tmp_path))
    assert_same(undisturbed[-1].snapshot.tensors, resumed[-1].snapshot.tensors)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [RESNET, R3], ids=["wgan-gp, resnet", "rpgan, r3"])
def test_graphs_of_what_is_compiled_have_its_bits(recipe: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    settings = make(precision="bfloat16", compile=True, **recipe)
    with caplog.at_level(logging.WARNING):
        *_, expected = run(settings)
        *_, found = run(settings.model_copy(update={"graphs": True}))
    assert "torch.compile" not in caplog.text
    assert "CUDA graphs" not in caplog.text
    assert_same(expected.snapshot.tensors, found.snapshot.tensors)


def compile_and_train(folder: Path) -> None:
    """In a process with nothing compiled yet."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "cache")
    run(make(precision="bfloat16", compile=True, **RESNET))[-1].snapshot.save(folder / "state.safetensors")


@pytest.mark.slow
def test_two_processes_that_compile_for_themselves_get_the_same_bits(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(compile_and_train, folders))
    assert_same(*(safetensors.torch.load_file(folder / "state.safetensors") for folder in folders))


@pytest.mark.parametrize("random_crop", [None, SIZE // 2])
def test_batches_are_the_same_wherever_the_pixels_lie(random_crop: int | None) -> None:
    def feed(where: str) -> ImageFeed:
        settings = make(data=where, random_crop=random_crop)
        return ImageFeed(settings, Pictures(SIZE), choose_hardware(settings, None))

    resident, streamed = feed("resident"), feed("stream")
    for step in range(5):
        ours, theirs = (source.batch(source.hardware.send_all(source.draw(step)))[0] for source in (resident, streamed))
        assert ours.device.type == DEVICE
        assert ours.shape == (BATCH, 3, random_crop or SIZE, random_crop or SIZE)
        assert torch.equal(ours, theirs)


# --- gradients ------------------------------------------------------------------------------------------------------


class BatchesOfCPU:
    """The CPU's batches, sent to the device: CUDA divides by multiplying, so that its own differ in the last bit."""

    def __init__(self, settings: TrainSettings, dtype: torch.dtype) -> None:
        on_cpu = settings.model_copy(update={"device": "cpu"})
        self.feed = ImageFeed(
            on_cpu,
            Pictures(SMALL),
            Hardware(device="cpu", device_name="", precision="float32", threads=1, torch=torch.__version__),
        )
        self.dtype = dtype

    def draw(self, step: int) -> Draws:
        images, labels = self.feed.batch(self.feed.draw(step))
        return {"images": images, "labels": labels}

    def batch(self, draws: Draws) -> tuple[Tensor, Tensor]:
        return draws["images"].to(self.dtype), draws["labels"].to(self.dtype)


def gradients(settings: TrainSettings, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Of each step of one iteration of each network, (steps, parameters), its weights in `dtype`."""
    hardware = choose_hardware(settings, None)
    pair = Pair(settings, SMALL, hardware)
    steps = Steps(settings, hardware, pair)
    rows: dict[str, list[Tensor]] = {"discriminator": [], "generator": []}
    for which, network, optimizer in (
        ("discriminator", pair.discriminator, pair.optimizers["discriminator"]),
        ("generator", pair.generator, pair.optimizers["generator"]),
    ):
        perturb(network)
        network.to(dtype).register_forward_pre_hook(lambda _, inputs: tuple(value.to(dtype) for value in inputs))

        def keep(*_: Any, network: nn.Module = network, which: str = which) -> None:
            found = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]
            rows[which].append(torch.cat([gradient.detach().flatten() for gradient in found]))

        hook: Callable[[Optimizer, Any, Any], None] = keep
        optimizer.register_step_pre_hook(hook)
    pair.average.to(dtype)
    epsilon = steps._epsilon
    steps._epsilon = lambda step: epsilon(step).to(dtype)  # type: ignore[method-assign]  # mixes images of this dtype
    steps.iterate(BatchesOfCPU(settings, dtype), 0, settings.images_per_iteration)
    assert not pair.broken
    return {which: torch.stack(found).double().cpu() for which, found in rows.items()}


def perturb(network: nn.Module) -> None:
    """What starts at zero would hide its gradient."""
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=draws).to(parameter.device)


def still(**changes: Any) -> TrainSettings:
    values: dict[str, Any] = {"generator_optimizer": STILL, "discriminator_optimizer": STILL, "precision": "float32"}
    return make(**(values | {"batch_size": 8} | changes))


@pytest.mark.parametrize("recipe", [RESNET, R3], ids=["wgan-gp, resnet", "rpgan, r3"])
def test_gradients_are_those_of_the_cpu_and_of_micro_batches(recipe: dict[str, Any]) -> None:
    expected = gradients(still(**recipe, device="cpu"))
    for settings in (still(**recipe), still(**recipe, micro_batch=4)):
        for which, found in gradients(settings).items():
            assert largest_difference(found, expected[which]) < 1e-10, which


@pytest.mark.parametrize("name", ["diffaugment", "ada"])
def test_so_are_those_of_augmented_images(name: str) -> None:
    changes: dict[str, Any] = {"augment": {"name": name, "ada": {"p": 0.7}}, "objective": {"name": "hinge"}}
    expected = gradients(still(**changes, device="cpu"))
    for which, found in gradients(still(**changes)).items():
        assert largest_difference(found, expected[which]) < 1e-4, which  # images are moved in float32


@pytest.mark.parametrize("recipe", [RESNET, R3], ids=["wgan-gp, resnet", "rpgan, r3"])
@pytest.mark.parametrize("precision", ["bfloat16", "tf32"])
def test_gradients_of_lower_precision_point_the_same_way(recipe: dict[str, Any], precision: str) -> None:
    exact = gradients(still(**recipe))
    for which, found in gradients(still(**recipe, precision=precision), torch.float32).items():
        cosine = torch.cosine_similarity(found, exact[which], dim=1)
        assert cosine.min() > (0.99 if precision == "bfloat16" else 0.999), (which, cosine)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [RESNET, R3], ids=["wgan-gp, resnet", "rpgan, r3"])
def test_compiled_gradients_equal_eager_ones_in_float64(recipe: dict[str, Any]) -> None:
    settings = still(**recipe, batch_size=4)
    hardware = choose_hardware(settings, None)
    pair = Pair(settings, SMALL, hardware)
    for network in (pair.generator, pair.discriminator):
        perturb(network.double())
    steps, draws = Steps(settings, hardware, pair), torch.Generator().manual_seed(0)
    real = (torch.rand(4, SMALL, SMALL, 3, generator=draws) * 2 - 1).permute(0, 3, 1, 2)
    drawn = [real, torch.zeros(4, 0), torch.randn(4, 32, generator=draws), torch.rand(4, generator=draws)]
    images, labels, z, mix = (values.double().to(DEVICE) for values in drawn)
    none = [torch.zeros(4, 0, dtype=torch.float64, device=DEVICE) for _ in range(4)]
    factor, found = torch.ones((), dtype=torch.float64, device=DEVICE), []
    for works in (True, False):
        compiler = Compiler(works)
        terms, by_name = compiler.wrap(steps.discriminator_terms, lambda found: None)(
            images, labels, z, mix, none[:2], none[2:], factor, True
        )
        loss = compiler.wrap(steps.generator_loss, lambda loss: None)(images, labels, z, none[:2], none[2:])
        assert compiler.works == works
        if by_name is None:
            by_name = _gradients(terms["loss"] + terms["penalty"], pair.discriminator)
        found.append([by_name, _gradients(loss, pair.generator), terms])
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-10)


# --- training -------------------------------------------------------------------------------------------------------


def test_training_goes_where_it_goes_on_the_cpu() -> None:
    settings = make(precision="float32", batch_size=16, kimg=0.128, tick_kimg=0.032)
    ours, theirs = run(settings, size=SMALL), run(settings.model_copy(update={"device": "cpu"}), size=SMALL)
    for tick, other in zip(ours[1:], theirs[1:], strict=True):
        assert tick.rows[-1]["gpu_memory_gib"] > 0
        for name in ("discriminator_loss", "generator_loss", "gradient_norm", "score_real"):
            assert tick.rows[-1][name] == pytest.approx(other.rows[-1][name], rel=0.01, abs=0.01), name

    def way(ticks: list[Tick]) -> Tensor:
        name = "discriminator.layers.0.weight"
        first, last = (tick.snapshot.tensors[name].cpu() for tick in (ticks[0], ticks[-1]))
        return (last - first).flatten()

    assert torch.cosine_similarity(way(ours), way(theirs), dim=0) > 0.99


def test_once_broken_nothing_moves_any_more() -> None:
    settings = make()
    pair = Pair(
        settings, SIZE, Hardware(device=DEVICE, device_name="", precision="float32", threads=1, torch=torch.__version__)
    )
    images, latents = torch.rand(2, 3, SIZE, SIZE, device=DEVICE), torch.rand(2, 32, device=DEVICE)

    def step(factor: float) -> None:
        pair.backward(pair.discriminator(images).mean() * factor, pair.discriminator)
        pair.step_discriminator()
        pair.backward(pair.discriminator(pair.generator(latents)).mean() * factor, pair.generator)
        pair.step_generator()
        pair.update_average(torch.tensor(0.5, device=DEVICE))

    step(1)
    before = copy.deepcopy(pair.state_dict())
    step(1)
    assert any(not torch.equal(before[name], tensor) for name, tensor in pair.state_dict().items())
    before = copy.deepcopy(pair.state_dict())
    step(float("nan"))
    step(1)
    assert_same(before, pair.state_dict())


def test_what_is_not_finite_ends_the_run_at_the_last_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    good, calls = Pair.backward, 0

    def backward(self: Pair, loss: Tensor, network: nn.Module) -> None:
        nonlocal calls
        calls += network is self.discriminator
        good(self, loss * float("nan") if calls == 7 and network is self.discriminator else loss, network)

    monkeypatch.setattr(Pair, "backward", backward)
    with pytest.raises(TrainingError, match=rf"became nan after \d+ images[\s\S]*\({4 * BATCH} images\) is intact"):
        run(make())


def test_full_memory_is_explained() -> None:
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**28) / total)
    try:
        with pytest.raises(OutOfMemoryError, match=r"does not hold 1024 images at a time\. Try train\.micro_batch=512"):
            run(make(batch_size=1024, kimg=4, tick_kimg=4))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


def test_auto_means_cuda_and_a_compiler() -> None:
    chosen = choose_hardware(make(device="auto", compile="auto", precision="auto"), None)
    assert chosen.device == "cuda"
    assert chosen.compiled
    assert chosen.precision == ("bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32")


# --- what is measured -----------------------------------------------------------------------------------------------


def test_samples_are_those_of_the_cpu_though_torch_allows_tf32() -> None:
    (*_, tick) = run(make(precision="float32", **RESNET))
    torch.backends.cudnn.allow_tf32 = True  # as a fresh process has it
    ours, theirs = (
        TrainedGenerator(tick.networks.generator, device).sample(64, seed=0).astype(int) for device in (DEVICE, "cpu")
    )
    different = np.abs(ours - theirs)
    assert theirs.std() > 1
    assert different.max() <= 1
    assert (different > 0).mean() < 0.005  # a value in thousands lies so near to a half that it is rounded otherwise


def test_features_are_those_of_the_cpu_though_torch_allows_tf32() -> None:
    torch.manual_seed(0)
    tensors = AttributeNetwork(40).state_dict()
    torch.backends.cudnn.allow_tf32 = True
    images = np.random.default_rng(0).integers(0, 256, (300, SIZE, SIZE, 3), dtype=np.uint8)
    names = [str(number) for number in range(40)]
    ours, theirs = (AttributeClassifier(names, tensors, device)(images) for device in (DEVICE, "cpu"))
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()
