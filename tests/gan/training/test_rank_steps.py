"""Several ranks train as one process does: gradients to 1e-10, and the weights of 50 iterations to 1e-8, in float64."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_steps import compute
from safetensors.torch import load_file

from celeba_gan.gan.networks.config import NetworkError
from celeba_gan.gan.runtime.hardware import choose_hardware
from celeba_gan.gan.settings import TrainSettings
from celeba_gan.gan.training.pair import Pair
from celeba_gan.ranks.group import Ranks
from celeba_gan.ranks.launched import Launched
from ranks_here import run_ranks
from small_training import SMALL

PROGRAM = Path(__file__).with_name("rank_steps.py")
LONG = SMALL | {"kimg": 1}
NO_PENALTY: dict[str, Any] = {"gradient_penalty": {"weight": 0}}
R1_R2: dict[str, Any] = {**NO_PENALTY, "r1": {"weight": 1}, "r2": {"weight": 2}}
MOVING: dict[str, Any] = {"name": "linear", "warm_up_kimg": 0.03, "end_kimg": 0.12, "final": 0.1}
ADA: dict[str, Any] = {"name": "ada", "ada": {"speed_kimg": 0.5, "interval": 2, "target": 0.01}}
RECIPES: dict[str, dict[str, Any]] = {
    "gradient penalty": {"mirror": True},
    "lazy penalties in parts": {
        "objective": {"name": "rpgan"},
        "penalty": {**R1_R2, "drift": {"weight": 0.1}, "every": 3, "schedule": MOVING},
        "micro_batch": 2,
        "clip_gradient_norm": 0.5,
    },
    "labels": {"objective": {"name": "rpgan"}, "penalty": R1_R2, "condition": {"name": "class"}},
    "ada": {"objective": {"name": "hinge"}, "penalty": R1_R2, "augment": ADA},
    "ada with images of valid": {"augment": ADA, "random_crop": 16},
    "diffaugment": {"objective": {"name": "non_saturating"}, "penalty": R1_R2, "augment": {"name": "diffaugment"}},
    "spectral norm": {"network": {"dcgan": {"width": 8}, "spectral_norm": True}, "objective": {"name": "hinge"},
                      "penalty": NO_PENALTY},
    "weight clip": {"penalty": NO_PENALTY, "weight_clip": 0.05},
    "by autograd": {"network": {"name": "resnet", "resnet": {"width": 8, "max_width": 16}}},
}  # fmt: skip


def check(world: int, names: list[str], folder: Path, iterations: int = 50) -> None:
    recipes = folder / "recipes.json"
    recipes.write_text(json.dumps({name: [LONG | RECIPES[name], iterations] for name in names}))
    for done in run_ranks([[str(PROGRAM), str(recipes), str(folder)]] * world):
        assert done.returncode == 0, done.stdout
    for name in names:
        expected = compute(LONG | RECIPES[name], iterations)
        found = [load_file(folder / f"{name}-{rank}") for rank in range(world)]
        assert expected["broken"] == 0
        assert torch.equal(torch.cat([one.pop("read") for one in found]).sort().values, expected.pop("read")), name
        for one in found:
            for key, value in expected.items():
                if key.startswith("gradient"):
                    assert value.abs().max() > 1e-4
                    assert (one[key] - value).abs().max() <= 1e-10 * value.abs().max(), (name, key)
                elif key == "terms":  # of images in float32
                    torch.testing.assert_close(one[key], value, rtol=1e-6, atol=1e-6)
                else:
                    assert (one[key] - value).abs().max() <= 1e-8 * max(1, value.abs().max()), (name, key)
            assert all(torch.equal(one[key], found[0][key]) for key in one), name  # bit for bit among the ranks


@pytest.mark.parametrize("slow", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["some", "all"])
def test_two_ranks_train_as_one_process_does(slow: bool, tmp_path: Path) -> None:
    check(2, list(RECIPES) if slow else ["lazy penalties in parts"], tmp_path, iterations=50 if slow else 12)


@pytest.mark.slow
def test_so_do_three_whose_shares_differ(tmp_path: Path) -> None:
    check(3, list(RECIPES), tmp_path)


def test_batch_norm_over_several_ranks_is_refused_on_the_cpu() -> None:
    article = {"network": {"name": "article", "article": {"width": 16}}, "objective": {"name": "non_saturating"}}
    settings = TrainSettings.model_validate({**SMALL, **article, "penalty": NO_PENALTY})
    ranks = Ranks(Launched(0, 2))
    with pytest.raises(NetworkError, match="batch norm mixes the images of a whole batch"):
        Pair(settings, 112, choose_hardware(settings, None), ranks=ranks)
