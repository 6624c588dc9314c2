import json
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from small_project import make_network

from celeba_gan.explorer import faces
from celeba_gan.explorer.models import MOST_LOADED, Models
from celeba_gan.explorer.recipe import ExplorerError
from celeba_gan.gan.runs.run import export
from celeba_gan.tracking.config import TrackingSettings
from celeba_gan.tracking.store import TRAINING_ID, open_client


@pytest.fixture
def copied(project: Path, tmp_path: Path) -> Path:
    shutil.copytree(project, tmp_path / "project")
    return tmp_path / "project"


def test_experiments_are_offered_by_their_names(models: Models) -> None:
    assert list(models.offers) == ["attributes", "class", "plain"]
    assert models.trouble is None


def test_a_damaged_experiment_is_left_out(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    (copied / "data/06_models/class/generator.safetensors").write_bytes(b"no checkpoint")
    assert Models(copied).refresh() == ["attributes", "plain"]
    assert "class" in caplog.text


def test_a_project_without_models_offers_none(tmp_path: Path) -> None:
    assert Models(tmp_path).refresh() == []
    assert list(tmp_path.iterdir()) == []  # nor is a database made


@pytest.mark.parametrize(
    "name", ["", "nobody", "../06_models/plain", "/etc/passwd", "models:/plain@champion", None, 3, ["plain"]]
)
def test_only_what_is_offered_is_loaded(models: Models, name: object) -> None:
    with pytest.raises(ExplorerError, match="There are: attributes, class, plain"):
        models.load(name)  # type: ignore[arg-type]


def test_the_last_two_models_stay_in_memory(project: Path) -> None:
    models = Models(project)
    models.refresh()
    first = models.load("plain")
    assert models.load("plain") is first
    models.load("class")
    assert models.load("plain") is first
    models.load("attributes")  # class is the one that was used longest ago
    assert models.load("plain") is first
    assert len(models._loaded) == MOST_LOADED


def test_the_newest_is_a_finished_one_if_there_is_any(copied: Path) -> None:
    models = Models(copied)
    for order, name in enumerate(("class", "plain", "attributes")):
        os.utime(copied / "data/06_models" / name, (1e9 + order, 1e9 + order))
    models.refresh()
    assert models.newest() == "attributes"
    for name in ("attributes", "plain"):
        export(make_network(name, finished=False), copied / "data/06_models" / name / "generator")
        os.utime(copied / "data/06_models" / name, (2e9, 2e9))
    models.refresh()
    assert models.newest() == "class"
    shutil.rmtree(copied / "data/06_models/class")
    models.refresh()
    assert models.newest() in ("attributes", "plain")


def test_directions_are_those_of_this_very_generator(copied: Path) -> None:
    models = Models(copied)
    models.refresh()
    assert models.load("plain").directions is not None
    assert models.load("class").directions is None
    document = copied / "data/07_model_output/plain/directions.json"
    document.write_text(json.dumps(json.loads(document.read_text()) | {"images": 6999}))
    again = Models(copied)
    again.refresh()
    assert again.load("plain").directions is None


def test_training_images_are_found_by_their_content(models: Models) -> None:
    images = models.load("plain").training_images
    assert images is not None
    assert images.dataset == "small"
    assert images.classifier is not None


def test_the_owner_of_a_face_is_found_whatever_it_is_called_now(copied: Path) -> None:
    models = Models(copied)
    models.refresh()
    recipe = faces.new_recipe(models.load("plain"))
    (copied / "data/06_models/plain").rename(copied / "data/06_models/renamed")
    models.refresh()
    assert models.owner(recipe) == "renamed"
    with pytest.raises(ExplorerError, match="after 8,000 images, which is not among the models here: attributes"):
        models.owner(recipe.model_copy(update={"images": 8000}))


def test_registered_models_are_offered_by_alias(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    network = make_network("plain", id="registered")
    for version in ("one", "two"):
        export(network, copied / "mlartifacts" / version / "artifacts" / "generator")
    client = open_client(TrackingSettings(), copied)
    client.create_registered_model("faces")
    for version in ("one", "two"):
        client.create_model_version("faces", (copied / "mlartifacts" / version).as_uri())
    models = Models(copied)
    assert models.refresh() == ["attributes", "class", "plain", "models:/faces/2"]
    client.set_registered_model_alias("faces", "champion", "1")
    assert models.refresh()[3:] == ["models:/faces@champion"]
    loaded = models.load("models:/faces@champion")
    assert loaded.generator.card.id == "registered"
    assert models.owner(faces.new_recipe(loaded)) == "models:/faces@champion"


def test_what_training_has_logged_is_known_before_it_is_loaded(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", TrackingSettings().store_uri(copied))  # where MLflow looks the model up
    client = open_client(TrackingSettings(), copied)
    experiment = client.create_experiment("celeba_gan", (copied / "mlartifacts").as_uri())
    run = client.create_run(experiment)
    network = make_network("plain", id="logged")
    logged = client.create_logged_model(
        experiment, "generator", run.info.run_id, tags={TRAINING_ID: "logged"}, params={"images": "7000"}
    )
    folder = Path(url2pathname(urlsplit(logged.artifact_location).path))
    export(network, folder / "artifacts" / "generator")
    client.create_registered_model("faces")
    client.create_model_version("faces", f"models:/{logged.model_id}", run.info.run_id, model_id=logged.model_id)
    client.set_registered_model_alias("faces", "champion", "1")
    models = Models(copied)
    models.refresh()
    offer = models.offers["models:/faces@champion"]
    assert (offer.training_id, offer.images) == ("logged", 7000)
    recipe = faces.new_recipe(models.load(offer.name)).model_copy(update={"model": "another name"})
    assert models.owner(recipe) == offer.name


def test_a_store_that_cannot_be_read_costs_only_its_own_models(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (copied / "mlflow.db").write_bytes(b"no database" * 100)
    models = Models(copied)
    assert models.refresh() == ["attributes", "class", "plain"]
    assert models.trouble is not None
    assert "mlflow.db" in models.trouble
