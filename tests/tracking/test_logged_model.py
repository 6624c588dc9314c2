"""A logged model runs the code that it was logged with, whichever celeba_gan is installed where it is loaded."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import celeba_gan
from celeba_gan.gan.networks.build import build_generator
from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.snapshot import Network, Networks, Snapshot
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.tracking import logged_model

SIZE = 16
PROGRAM = """
import base64, io, sys
from importlib.util import find_spec
import mlflow.pyfunc, numpy as np, pandas as pd
from PIL import Image

def installed():
    import celeba_gan
    return celeba_gan.__version__

def pixels(answers):
    return np.stack([np.asarray(Image.open(io.BytesIO(base64.b64decode(image)))) for image in answers["image"]])

before = installed()
rows = pd.DataFrame({"latents": list(np.load("latents.npy"))})
models = [mlflow.pyfunc.load_model(f"model{number}") for number in range(3)]  # all of them before the first is used
for number, model in enumerate(models):
    np.save(f"images{number}.npy", pixels(model.predict(rows, {"labels": "Hat"})))
assert installed() == before == "999", before
assert not [name for name in sys.modules if name.startswith("celeba_gan.")]
copies = {name.split(".")[0] for name in sys.modules if name.startswith("celeba_gan_")}
assert len(copies) == 2, copies
"""


@pytest.fixture
def make_generator(make_snapshot: Callable[..., Snapshot]) -> Callable[[int], Network]:
    """Makes conditional generators with weights of their own."""

    def make(seed: int) -> Network:
        network, latent = NetworkSettings.model_validate({"dcgan": {"width": 4}}), LatentSettings(size=8)
        condition = Condition(kind="attributes", names=("Hat",), sets=((), (0,)), counts=(3, 1), digest="")
        torch.manual_seed(seed)
        card = make_snapshot(seed, network=network, latent=latent, condition=condition).card.of_networks()
        return Checkpoint("generator", card, build_generator(network, latent, SIZE, 1).state_dict())

    return make


@pytest.mark.slow
def test_models_run_their_own_code_beside_each_other_and_beside_another_installed_version(
    tmp_path: Path, make_generator: Callable[[int], Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    def log(number: int, generator: Network) -> None:
        folder = tmp_path / f"build{number}"
        folder.mkdir()
        logged_model._build(folder, "generator", Networks(generator, None), "m-0", "0" * 32).rename(
            tmp_path / f"model{number}"
        )

    generators = [make_generator(1), make_generator(2)]
    for number, generator in enumerate(generators):
        log(number, generator)

    # Another version of the code, whose pictures are negatives.
    sources = Path(celeba_gan.__file__).parent
    other = tmp_path / "other" / "celeba_gan"
    shutil.copytree(sources, other, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "foundation" / "pixels.py").open("a") as file:
        file.write("\n\n_positive = to_uint8\n\n\ndef to_uint8(images):\n    return 255 - _positive(images)\n")
    monkeypatch.setattr(logged_model, "_HERE", other / "tracking")
    log(2, generators[0])

    # What is installed where they are loaded: another version still, of which nothing can be used.
    installed = tmp_path / "installed" / "celeba_gan"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text('__version__ = "999"\n')
    for room in ("foundation", "gan"):
        (installed / f"{room}.py").write_text("raise ImportError('of another version')\n")

    latents = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    np.save(tmp_path / "latents.npy", latents)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr

    found = [np.load(tmp_path / f"images{number}.npy") for number in range(3)]
    for images, generator in zip(found, generators, strict=False):
        assert np.array_equal(images, TrainedGenerator(generator).images(latents, torch.ones(3, 1)))
    assert np.array_equal(found[2], 255 - found[0])


SERVER = """
import logging, sys, types
import mlflow.pyfunc
from mlflow.pyfunc import scoring_server

logging.basicConfig(level=logging.WARNING)
own = scoring_server.invocations
mlflow.pyfunc.load_model("model0")
assert scoring_server.invocations is own, "only in the process of a server may it be replaced"
sys.modules["mlflow.pyfunc.scoring_server.app"] = types.ModuleType("app")  # as the server has it while it loads a model
mlflow.pyfunc.load_model("model0")
assert scoring_server.invocations is not own
scoring_server.invocations = other = lambda data, content_type: None
mlflow.pyfunc.load_model("model0")
assert scoring_server.invocations is other, "another version of MLflow would call it in its own way"
"""


@pytest.mark.slow
def test_requests_are_read_in_a_servers_process_alone_and_not_in_an_unknown_version(
    tmp_path: Path, make_generator: Callable[[int], Network]
) -> None:
    folder = tmp_path / "build"
    folder.mkdir()
    pair = Networks(make_generator(1), None)
    logged_model._build(folder, "generator", pair, "m-0", "0" * 32).rename(tmp_path / "model0")
    done = subprocess.run([sys.executable, "-B", "-c", SERVER], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("This version of MLflow answers requests in another way") == 1
