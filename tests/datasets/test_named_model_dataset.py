import logging
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError

from celeba_gan.datasets.models import NamedModelDataset, NamedModelError, reporting_folder, slug
from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.hooks.errors import message_for_people
from celeba_gan.tracking.config import TrackingError
from celeba_gan.tracking.fetch import FetchedModel, ReadsModels

URI = "models:/faces@champion"


class Store:
    """One model under one name; what the tracking hook gives is tested with it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.fetched = 0

    def fetch_model(self, uri: str, folder: Path) -> FetchedModel:
        if uri != URI:
            raise TrackingError(f"There is no model {uri}")
        self.fetched += 1
        place = folder / "generator.safetensors"
        place.write_bytes(self.file.read_bytes())
        return FetchedModel(place, f"{uri} (version 3)")


@pytest.fixture
def models(tmp_path: Path, make_snapshot: Callable[..., Snapshot]) -> Path:
    for name, images in (("demo", 5), ("mine", 7)):
        Run(tmp_path / name).append(make_snapshot(images, id=name, finished=True))
    return tmp_path


def dataset(models: Path, name: object = None) -> NamedModelDataset:
    return NamedModelDataset(str(models), "evaluate.model", name)


def test_no_name_is_no_model(models: Path) -> None:
    assert dataset(models).exists()
    assert dataset(models).card() is None
    assert dataset(models).load() is None


@pytest.mark.parametrize("form", ["mine", "{models}/mine", "{models}/mine/generator.safetensors"])
def test_a_model_is_found_by_each_kind_of_name_and_never_written(models: Path, form: str) -> None:
    named = dataset(models, form.format(models=models))
    files = {path: path.read_bytes() for path in models.rglob("*") if path.is_file()}
    model = pickle.loads(pickle.dumps(named)).load()  # as ParallelRunner has it
    assert model.card == named.card()
    assert model.label == form.format(models=models)
    networks = model.networks()
    assert networks.generator.card.id == networks.discriminator.card.id == "mine"
    assert networks.generator.tensors["w"].tolist() == [7, 7, 7]
    with pytest.raises(DatasetError, match="only read"):
        named.save(model)
    assert {path: path.read_bytes() for path in models.rglob("*") if path.is_file()} == files


def test_a_name_that_looks_like_a_number_is_a_name(models: Path) -> None:
    (models / "mine").rename(models / "5")
    model = dataset(models, 5).load()
    assert model is not None
    assert (model.label, model.card.id) == ("5", "mine")


def test_a_model_of_mlflow_is_fetched_once_and_has_no_discriminator_there(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    named, store = dataset(models, URI), Store(models / "mine/generator.safetensors")
    assert isinstance(named, ReadsModels)  # by which the tracking hook finds it
    named.store = store
    store.lock = threading.RLock()  # as the tracking hook has one, which no other process can have
    pickle.dumps(named)  # as ParallelRunner does
    card = named.card()
    assert card is not None
    assert card.id == "mine"
    model = named.load()
    assert model is not None
    assert model.label == f"{URI} (version 3)"
    with caplog.at_level(logging.INFO):
        networks = model.networks()
    assert networks.generator.tensors["w"].tolist() == [7, 7, 7]
    assert networks.discriminator is None
    assert "has no discriminator beside it" in caplog.text
    assert store.fetched == 1
    folder = model.path.parent
    del named, model
    assert not folder.exists()


def test_a_model_of_mlflow_without_a_store_is_refused(models: Path) -> None:
    with pytest.raises(DatasetError, match="no store is configured"):
        dataset(models, URI).load()


@pytest.mark.parametrize("parameter", ["evaluate.model", "evaluate.compare_with"])
def test_a_wrong_name_is_refused_with_the_names_there_are(models: Path, parameter: str) -> None:
    (models / "empty").mkdir()

    def refusal(name: str) -> str:
        named = NamedModelDataset(str(models), parameter, name)
        named.store = Store(models / "mine/generator.safetensors")
        with pytest.raises(DatasetError) as caught:  # Kedro's own wrapping
            named.card()
        assert isinstance(caught.value.__cause__, NamedModelError)
        message = message_for_people(caught.value)
        assert message is not None
        return message

    assert refusal("dmo").startswith(f"{parameter}: there is no experiment, file or folder 'dmo'.")
    assert refusal("dmo").endswith(": demo, mine")
    assert refusal("models:/nobody/1") == f"{parameter}: There is no model models:/nobody/1"
    assert "no generator.safetensors" in refusal("empty")


def test_folders_names_are_told_from_each_other_and_stay_inside() -> None:
    names = ["a", "b", "models:/faces@champion", "models:/faces/2", "x" * 300, "x" * 301, "../a/b", "/", "..", "ü"]
    slugs = [slug(name) for name in names]
    assert [one[:-9] for one in slugs[2:4]] == ["models-faces-champion", "models-faces-2"]
    assert len(set(slugs[:7])) == 7
    for one in slugs:
        assert Path(one).name == one
        assert 0 < len(one) <= 100
        assert not one.startswith(".")
    assert slug("data/06_models/demo/generator.safetensors")[:-9] == "data-06_models-demo-generator.safetensors"
    alike = ("models:/faces/1", "models-faces-1", "a/b", "a-b", "лица.safetensors", "люди.safetensors", "лица", "люди")
    assert len({slug(name) for name in alike}) == len(alike)


def test_each_other_model_has_a_folder_below_the_experiments() -> None:
    given: list[tuple[Any, ...]] = [("demo",), ("demo", None), ("demo", "mine"), (5, 6), ("demo", "demo")]
    assert [reporting_folder(*one) for one in given] == ["demo", "demo", "demo/mine", "5/6", "demo/demo"]
