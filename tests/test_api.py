"""The public interface: three functions, for scripts and notebooks without a Kedro project."""

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import celeba_gan
from celeba_gan import api
from celeba_gan.foundation.locks import locked
from celeba_gan.gan.sampling.trained import TrainedGenerator

PROJECT = Path(__file__).parents[1]
SMALL: dict[str, Any] = {
    "size": 16,
    "kimg": 0.128,
    "tick_kimg": 0.064,
    "evaluate_every_kimg": None,
    "batch_size": 8,
    "network": {"dcgan": {"width": 4}},
    "latent": {"size": 8},
    "precision": "float32",
    "threads": 1,
}


@pytest.fixture(autouse=True)
def threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pictures in two subfolders, warm and cold ones."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number in range(60):
        place = folder / ("warm" if number % 2 else "cold")
        place.mkdir(exist_ok=True)
        coarse = rng.integers(0, 128, (5, 6, 3))
        coarse[..., 0 if number % 2 else 2] += 120
        Image.fromarray(coarse.astype(np.uint8)).resize((60, 50), Image.Resampling.BICUBIC).save(
            place / f"{number}.png"
        )
    return folder


@pytest.fixture(scope="module")
def faces(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained folder."""
    folder = tmp_path_factory.mktemp("trained") / "faces"
    celeba_gan.train(photographs, folder, **SMALL)
    return folder


def test_these_names_are_the_public_interface() -> None:
    assert sorted(celeba_gan.__all__) == ["__version__", "evaluate", "load_generator", "train"]
    assert dir(celeba_gan) == sorted(celeba_gan.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'tain'"):
        celeba_gan.tain  # noqa: B018
    signatures = {name: list(inspect.signature(getattr(celeba_gan, name)).parameters) for name in dir(celeba_gan)[1:]}
    assert signatures == {
        "evaluate": ["model", "images", "checkpoint", "count", "crop", "folder", "tracking_uri", "settings"],
        "load_generator": ["source", "checkpoint", "device", "tracking_uri"],
        "train": ["images", "folder", "size", "crop", "labels", "settings"],
    }
    public = [name for name in vars(TrainedGenerator) if not name.startswith("_")]
    assert public == ["to", "names", "sample", "batches", "draw", "grid", "images"]
    for function in (*map(celeba_gan.__getattr__, signatures), *(getattr(TrainedGenerator, name) for name in public)):
        assert inspect.getdoc(function)


def test_the_defaults_are_those_of_the_first_preset() -> None:
    preset = yaml.safe_load((PROJECT / "conf/base/parameters.yml").read_text())["train"]
    assert {name: value for name, value in preset.items() if name != "seed"} == api._TRAINING


def test_a_folder_of_pictures_becomes_a_generator(faces: Path) -> None:
    generator = celeba_gan.load_generator(faces)
    assert generator.card.finished
    assert generator.card.images == 128
    assert generator.sample(3).shape == (3, 16, 16, 3)
    assert generator.to("cpu") is generator
    assert isinstance(generator.module, torch.nn.Module)
    assert {path.name for path in faces.iterdir()} >= {"generator.safetensors", "images", "metric_rows"}
    assert len(list((faces / "training_grids").iterdir())) == 3


def test_a_stopped_training_resumes_to_the_same_weights(photographs: Path, faces: Path, tmp_path: Path) -> None:
    celeba_gan.train(photographs, tmp_path / "faces", **{**SMALL, "kimg": 0.064})
    generator = celeba_gan.train(photographs, tmp_path / "faces", **SMALL)
    expected = celeba_gan.load_generator(faces).module.state_dict()
    found = generator.module.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_labels_of_subfolders_become_classes(photographs: Path, tmp_path: Path) -> None:
    generator = celeba_gan.train(photographs, tmp_path / "faces", labels="subfolders", **SMALL)
    assert generator.names == ("cold", "warm")
    assert generator.sample(2, labels="warm").shape == (2, 16, 16, 3)
    evaluation = celeba_gan.evaluate(tmp_path / "faces", swd_projections=16, swd_patches=4)
    assert evaluation.protocol.size == 16


def test_it_is_measured_against_its_own_test_images(faces: Path) -> None:
    evaluation = celeba_gan.evaluate(faces, swd_projections=16, swd_patches=4)
    assert evaluation.protocol.data_digest == evaluation.protocol.trained_on
    assert evaluation.metrics["swd"] > evaluation.floor["swd"] > 0
    stored = json.loads((faces / "evaluation.json").read_text())
    assert stored["metrics"] == evaluation.metrics
    assert "<html" in (faces / "evaluation.html").read_text()


def test_a_file_is_measured_against_other_images(faces: Path, photographs: Path, tmp_path: Path) -> None:
    file = faces / "generator.safetensors"
    with pytest.raises(api.SettingsError, match="is no folder: name the folder"):
        celeba_gan.evaluate(file, photographs)
    evaluation = celeba_gan.evaluate(file, photographs, folder=tmp_path / "out", swd_projections=16, swd_patches=4)
    assert (tmp_path / "out" / "evaluation.html").is_file()
    again = celeba_gan.evaluate(faces, swd_projections=16, swd_patches=4)
    assert evaluation.metrics["swd"] == pytest.approx(again.metrics["swd"])


def test_models_are_found_by_file_folder_and_name(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = tmp_path / "project" / "data" / "06_models" / "mine"
    experiment.parent.mkdir(parents=True)
    experiment.symlink_to(faces)
    (tmp_path / "project" / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "project" / "notebooks")
    sources = [faces, str(faces), faces / "generator.safetensors", "mine"]
    pictures = [celeba_gan.load_generator(source, device="cpu").sample(2) for source in sources]
    assert all(np.array_equal(pictures[0], others) for others in pictures[1:])
    assert celeba_gan.load_generator("mine", checkpoint="best").card.images == 128
    with pytest.raises(api.ModelError, match=r"there is no experiment, file or folder 'mime'.*: mine"):
        celeba_gan.load_generator("mime")


@pytest.mark.parametrize(
    "damage", ["cut", "forged", "no such network", "empty", "text", "no header", "a discriminator"]
)
def test_a_damaged_file_is_one_error(damage: str, faces: Path, tmp_path: Path) -> None:
    whole = (faces / "generator.safetensors").read_bytes()
    content = {
        "cut": whole[:-100],
        "forged": whole.replace(b'\\"size\\": 16,', b'\\"size\\":1024,'),
        "no such network": whole.replace(b'\\"size\\": 16,', b'\\"size\\": 12,'),
        "empty": b"",
        "text": b"a face",
        "no header": b"\xff" * 8 + whole,
        "a discriminator": (faces / "discriminator.safetensors").read_bytes(),
    }[damage]
    assert content != whole
    (tmp_path / "generator.safetensors").write_bytes(content)
    with pytest.raises(api.ModelError) as caught:
        celeba_gan.load_generator(tmp_path / "generator.safetensors")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kimmg": 3}, "there is no setting kimmg; did you mean kimg\\?$"),
        ({"sise": 3}, "there is no setting sise; did you mean size\\?$"),
        ({"zzz": 3}, "there is no setting zzz; there are images, folder, size, crop, labels, device, "),
        ({"network": {"dcgan": {"widht": 3}}}, r"there is no setting network\.dcgan\.widht; did you mean width\?$"),
        ({"kimg": -1}, "kimg is -1: Input should be greater than 0"),
        ({"network": {"name": "stylegan"}}, "network.name is 'stylegan': there is no network 'stylegan'"),
        ({"size": 3}, "size is 3: Input should be greater than or equal to 8"),
        ({"crop": 10}, "crop 10 is smaller than size 16"),
    ],
)
def test_wrong_settings_are_one_error(
    settings: dict[str, Any], message: str, photographs: Path, tmp_path: Path
) -> None:
    with pytest.raises(api.SettingsError, match=message):
        celeba_gan.train(photographs, tmp_path / "faces", **{**SMALL, **settings})
    assert not (tmp_path / "faces").exists()


def test_two_processes_do_not_write_to_one_folder(photographs: Path, tmp_path: Path) -> None:
    with locked(tmp_path / ".faces.lock"), pytest.raises(api.SettingsError, match="another process writes to"):
        celeba_gan.train(photographs, tmp_path / "faces", **SMALL)


@pytest.mark.slow
def test_importing_it_imports_nothing_heavy(faces: Path) -> None:
    script = (
        "import sys, celeba_gan\n"
        "assert not {'torch', 'numpy', 'pydantic', 'kedro'} & set(sys.modules)\n"
        "celeba_gan.load_generator(sys.argv[1], device='cpu').sample(1)\n"
        "heavy = {'kedro', 'mlflow', 'pandas', 'pyarrow', 'rich', 'torchvision', 'PIL', 'torch._dynamo', 'sympy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(faces)], capture_output=True, text=True, env=os.environ, check=True
    )
    assert done.stdout.strip() == "[]"


def test_starting_anew_sets_the_former_training_aside(photographs: Path, tmp_path: Path) -> None:
    place = tmp_path / "faces"
    first = celeba_gan.train(photographs, place, **SMALL)
    second = celeba_gan.train(photographs, place, resume=False, **{**SMALL, "kimg": 0.064})
    assert (first.card.images, second.card.images) == (128, 64)
    (aside,) = tmp_path.glob("faces.*")
    former = celeba_gan.load_generator(aside)
    assert former.card == first.card
    assert np.array_equal(former.sample(2), first.sample(2))


def test_a_refused_training_leaves_its_images_as_they_are(photographs: Path, faces: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    shutil.copytree(photographs / "warm", others)
    before = {path: path.read_bytes() for path in (faces / "images").rglob("*") if path.is_file()}
    for images, size in ((others, 16), (photographs, 32)):
        with pytest.raises(api.SettingsError, match=r"has a training on other images, with (images|size)="):
            celeba_gan.train(images, faces, **{**SMALL, "size": size})
    assert all(path.read_bytes() == content for path, content in before.items())
    celeba_gan.evaluate(faces, others, swd_projections=16, swd_patches=4)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_results_may_go_elsewhere(faces: Path, tmp_path: Path) -> None:
    evaluation = celeba_gan.evaluate(faces, folder=tmp_path / "out", count=3, swd_projections=16, swd_patches=4)
    assert evaluation.protocol.reals == 3
    assert (tmp_path / "out" / "evaluation.json").is_file()


def test_settings_of_two_models_are_those_of_kedro(faces: Path) -> None:
    with pytest.raises(api.SettingsError, match="compare_with, promote: only `kedro run --pipelines evaluate` takes"):
        celeba_gan.evaluate(faces, promote=True, compare_with="other")


def test_a_folder_comes_before_an_experiment_of_its_name(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "data" / "06_models" / "mine"
    other.mkdir(parents=True)
    (other / "generator.safetensors").write_text("another one")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").symlink_to(faces)
    assert celeba_gan.load_generator("mine").card.images == 128
    monkeypatch.chdir(faces)
    assert celeba_gan.load_generator(".").card.images == 128


@pytest.mark.parametrize(
    ("images", "folder", "message"),
    [
        (None, "faces", "images is None; give the path"),
        ("", "faces", "images is ''"),
        ("photographs", 3, "folder is 3"),
        ("photographs", "", "folder is ''"),
        ("photographs", "/", "the top of the file system"),
        ("photographs", "a\0b", "folder is"),
    ],
)
def test_what_is_no_path(images: Any, folder: Any, message: str) -> None:
    with pytest.raises(api.SettingsError, match=message):
        celeba_gan.train(images, folder, **SMALL)


def test_results_among_the_images_are_refused(photographs: Path) -> None:
    for folder in (photographs, photographs / "warm" / "faces"):
        with pytest.raises(api.SettingsError, match="is inside of the images"):
            celeba_gan.train(photographs, folder, **SMALL)


@pytest.mark.parametrize("source", ["", "x" * 5000, "a\0b", None, 3, "models:/x@y", "models:/", "~/nothing/here", ".."])
def test_what_names_no_model(source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(api.ModelError):
        celeba_gan.load_generator(source)
    assert not list(tmp_path.iterdir())  # no store was made


@pytest.mark.parametrize("store", ["sqlite:////nowhere/none.db", "bogus://x", "postgresql://a/b"])
def test_a_store_that_is_none(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(api.ModelError, match="store"):
        celeba_gan.load_generator("models:/x@y", tracking_uri=store)
    assert not Path("/nowhere").exists()


@pytest.mark.parametrize(
    ("configured", "shown_by"),
    [
        pytest.param("", "ours", marks=pytest.mark.slow),
        pytest.param("logging.getLogger('celeba_gan').setLevel(logging.WARNING)", "nobody", marks=pytest.mark.slow),
        pytest.param("logging.basicConfig(level=logging.ERROR)", "nobody", marks=pytest.mark.slow),
        pytest.param("logging.disable(logging.INFO)", "nobody", marks=pytest.mark.slow),
        pytest.param("logging.basicConfig(format='theirs %(message)s')", "theirs", marks=pytest.mark.slow),
        pytest.param(
            "logging.basicConfig(level=logging.INFO, format='theirs %(message)s')", "theirs", marks=pytest.mark.slow
        ),
    ],
)
def test_a_script_shows_a_line_a_tick_unless_logging_says_otherwise(
    configured: str, shown_by: str, photographs: Path, tmp_path: Path
) -> None:
    script = (
        "import json, logging, sys, celeba_gan\n"
        f"{configured}\n"
        "celeba_gan.train(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))\n"
        "assert not logging.getLogger('celeba_gan.reporting.training.progress').handlers\n"
    )
    command = [sys.executable, "-c", script, str(photographs), str(tmp_path / "faces"), json.dumps(SMALL)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=True)
    assert done.stdout == ""  # no empty line where a bar would be
    lines = [line for line in done.stderr.splitlines() if "images/s" in line or "/s  loss D" in line]
    images = [" 64 of 128 images ", "128 of 128 images "] if shown_by != "nobody" else []
    starts = [f"theirs {start}" if shown_by == "theirs" else start for start in images]
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts


def test_errors_name_the_arguments_of_the_front_door(
    photographs: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def refusal(function: Any, *arguments: Any, **settings: Any) -> str:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - what is tested is the text
            function(*arguments, **settings)
        return str(caught.value)

    assert ": images=DIR. JPEG" in refusal(celeba_gan.train, "nothing", "x")
    assert "set size to 32, 64 or 128" in refusal(celeba_gan.train, photographs, "x", size=50)
    other = refusal(celeba_gan.train, photographs, faces, **{**SMALL, "batch_size": 16})
    assert "the same call with another folder= and the present one as init_from=" in other
    assert "the same call with another folder=\n" in other
    assert "start anew in the same folder: resume=False" in other
    missing = refusal(celeba_gan.load_generator, "demo")
    assert f"Relative paths start at the current folder, {tmp_path}" in missing
    assert "init_from: there is no experiment" in refusal(
        celeba_gan.train, photographs, "x", **SMALL, init_from="nowhere"
    )
    for text in (other, missing):
        assert "--params" not in text


def test_it_trains_in_one_process_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(api.SettingsError, match="torchrun -m celeba_gan --pipelines train"):
        celeba_gan.train(tmp_path / "photographs", tmp_path / "faces")
    assert list(tmp_path.iterdir()) == []
