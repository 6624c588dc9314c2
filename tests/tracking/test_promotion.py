"""Models of a real store: fetched by their names, measured, registered, and made champion."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

import celeba_gan
from celeba_gan.datasets.models import ExperimentsDataset
from celeba_gan.evaluation.documents import Evaluation
from celeba_gan.gan.networks.build import build_discriminator, build_generator
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError
from celeba_gan.gan.runs.initial import load_initial
from celeba_gan.gan.runs.run import read_exported
from celeba_gan.gan.runs.snapshot import Networks, Snapshot
from celeba_gan.tracking.config import TrackingError, TrackingSettings
from celeba_gan.tracking.fetch import fetch_generator
from celeba_gan.tracking.hook import MLflowTracking
from celeba_gan.tracking.promotion import (
    CHAMPION,
    Promotion,
    PromotionError,
    from_tags,
    measurement_of,
    promote,
    settle,
    to_tags,
)

SETTINGS = TrackingSettings(experiment="tiny")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, make_snapshot: Callable[..., Snapshot]) -> SimpleNamespace:
    """A SQLite store in which a run has logged three generators, of 100, 200 and 300 images, the first one alone."""
    from celeba_gan.tracking.logged_model import log_model
    from celeba_gan.tracking.store import Store, TrackedRun

    project = tmp_path_factory.mktemp("project")
    network, latent = NetworkSettings.model_validate({"name": "dcgan", "dcgan": {"width": 4}}), LatentSettings(size=8)
    connected = Store.connect(SETTINGS, project)
    run = TrackedRun(connected, connected.client.create_run(connected.experiment_id))
    models = {}
    for images in (100, 200, 300):
        torch.manual_seed(images)
        card = make_snapshot(images, finished=images == 300, network=network, latent=latent).card.of_networks()
        generator = Checkpoint("generator", card, build_generator(network, latent, 16).state_dict())
        discriminator = Checkpoint("discriminator", card, build_discriminator(network, 16).state_dict())
        pair = Networks(generator, discriminator if images > 100 else None)
        models[images] = log_model(connected, run.id, "generator", pair, "described")
        run.link_output(models[images], images)
    return SimpleNamespace(project=project, client=connected.client, run=run, models=models, name="")


@pytest.fixture
def fresh(store: SimpleNamespace, request: pytest.FixtureRequest) -> SimpleNamespace:
    """The same store with a registered name that nothing has yet."""
    return SimpleNamespace(**{**vars(store), "name": request.node.name})


STORED = Path(__file__).parents[1] / "evaluation" / "fixtures" / "evaluation_v1.json"


def measured(value: float, reach: float, **protocol: Any) -> Evaluation:
    content = json.loads(STORED.read_text())
    features = {"attributes": "f" * 16, "inception": "i" * 16}
    content["protocol"] |= {
        "data_digest": "d" * 64,
        "images_per_side": 50,
        "code": "1",
        "features": features,
    } | protocol
    precision = {"low": 1 - (value + reach) / 100, "high": 1 - (value - reach) / 100, "method": "bootstrap"}
    content |= {
        "metrics": {"frechet_attributes": value, "precision_attributes": 1 - value / 100, "swd": 1.0, "age": 0.1},
        "intervals": {
            "frechet_attributes": {"low": value - reach, "high": value + reach, "method": "bootstrap"},
            "precision_attributes": precision,
            "age": {"low": 0.0, "high": 0.2, "method": "bootstrap"},
        },
        "comparison": None,
    }
    return Evaluation.from_json(content, "the fixture")


def tell(store: SimpleNamespace, images: int, evaluation: Evaluation, **changes: Any) -> str | None:
    promotion = Promotion(**{"requested": True, "metric": "frechet_attributes", "name": store.name} | changes)
    return promote(store.client, promotion, store.models[images], evaluation)


def champion(store: SimpleNamespace) -> Any:
    """The image count of the champion."""
    version = store.client.get_model_version_by_alias(store.name, CHAMPION)
    return next(images for images, model_id in store.models.items() if version.source == f"models:/{model_id}")


def test_the_first_model_is_champion_and_its_numbers_are_known(fresh: SimpleNamespace) -> None:
    assert tell(fresh, 100, measured(20.25, 1.5)) == (
        f"{fresh.name} version 1 is the first champion: frechet_attributes 20.25 (18.75 to 21.75)"
    )
    version = fresh.client.get_model_version_by_alias(fresh.name, CHAMPION)
    assert version.source == f"models:/{fresh.models[100]}"
    assert version.run_id == fresh.run.id
    assert json.loads(fresh.client.get_logged_model(fresh.models[100]).tags["mlflow.modelVersions"])[-1] == {
        "name": fresh.name,
        "version": version.version,
    }
    assert "MLFLOW_TRACKING_URI" not in os.environ  # which would win over mlflow.yml
    tags = version.tags
    numbers = [tags[f"frechet_attributes{part}"] for part in ("", ".low", ".high")]
    assert numbers == ["20.25", "18.75", "21.75"]
    assert tags["frechet_attributes.protocol.features"] == "f" * 16
    part = "frechet_attributes.protocol"
    assert (tags[f"{part}.data_digest"], tags[f"{part}.images_per_side"]) == ("d" * 64, "50")


def test_each_metric_has_a_protocol_of_its_own() -> None:
    few, many = (measurement_of(measured(20, 1, images_per_side=n), "frechet_attributes") for n in (50, 5000))
    tags = to_tags(few) | to_tags(many) | {"swd.protocol.images_per_side": "50"}
    known = from_tags(tags, "frechet_attributes")
    assert known == many


def test_only_an_interval_of_the_difference_below_0_makes_a_new_champion(fresh: SimpleNamespace) -> None:
    tell(fresh, 100, measured(20, 3))
    message = tell(fresh, 200, measured(15, 4))  # the upper end of the difference is 0
    assert message == (
        f"{fresh.name} version 1 stays champion: version 2 has frechet_attributes 15 (11 to 19), "
        "against 20 (17 to 23) of version 1; the interval of the difference, -10 to 0, does not show that it is better"
    )
    assert champion(fresh) == 100
    message = tell(fresh, 300, measured(15, 3.9))
    assert message == (
        f"{fresh.name} version 3 is the new champion: frechet_attributes 15 (11.1 to 18.9) against 20 (17 to 23) of "
        "version 1"
    )
    assert champion(fresh) == 300


def test_a_model_has_one_version_however_often_it_is_measured(fresh: SimpleNamespace) -> None:
    tell(fresh, 100, measured(20, 1))
    tell(fresh, 200, measured(30, 1))
    assert tell(fresh, 100, measured(21, 1)) == (
        f"{fresh.name} version 1, the champion, was measured again: frechet_attributes 21 (20 to 22)"
    )
    tell(fresh, 200, measured(20.5, 1))
    assert champion(fresh) == 100
    found = fresh.client.search_model_versions(f"name = '{fresh.name}'")
    assert sorted((version.version, version.tags["frechet_attributes"]) for version in found) in (
        [("1", "21.0"), ("2", "20.5")],
        [(1, "21.0"), (2, "20.5")],
    )


@pytest.mark.parametrize(
    ("part", "there"),
    [
        ("data_digest", "e" * 64),
        ("code", "2"),
        ("features", {"attributes": "g" * 16}),
        pytest.param("images_per_side", 51, marks=pytest.mark.slow),
        pytest.param("seed", 1, marks=pytest.mark.slow),
        pytest.param("split", "valid", marks=pytest.mark.slow),
    ],
)
def test_numbers_of_another_protocol_move_nothing_until_the_champion_is_measured_anew(
    fresh: SimpleNamespace, part: str, there: Any
) -> None:
    fresh.name = f"protocol_{part}"
    tell(fresh, 100, measured(20, 1, **{part: there}))
    message = tell(fresh, 200, measured(2, 1), command="kedro run --params evaluate.seed=0,")
    assert message is not None
    assert "version 1 stays champion" in message
    assert f"measured in a different way (here and there {part} is " in message
    assert message.endswith(f"kedro run --params evaluate.seed=0,evaluate.model=models:/{fresh.name}@champion")
    assert champion(fresh) == 100

    tell(fresh, 100, measured(20, 1), requested=False)  # what that command does
    tell(fresh, 200, measured(2, 1))
    assert champion(fresh) == 200


def test_features_of_other_metrics_do_not_matter(fresh: SimpleNamespace) -> None:
    tell(fresh, 100, measured(20, 1))
    tell(fresh, 200, measured(2, 1, features={"attributes": "f" * 16}))
    assert champion(fresh) == 200


def test_of_a_share_more_is_better(fresh: SimpleNamespace) -> None:
    tell(fresh, 100, measured(20, 1), metric="precision_attributes")
    tell(fresh, 200, measured(19.5, 1), metric="precision_attributes")
    assert champion(fresh) == 100
    assert "against 0.8 (0.79 to 0.81) of version 1" in str(
        tell(fresh, 300, measured(10, 1), metric="precision_attributes")
    )
    assert champion(fresh) == 300


def test_a_champion_chosen_by_hand_without_numbers_stays(fresh: SimpleNamespace) -> None:
    fresh.client.create_registered_model(fresh.name)
    place = fresh.client.get_logged_model(fresh.models[100]).artifact_location
    made = fresh.client.create_model_version(fresh.name, place, fresh.run.id)
    fresh.client.set_registered_model_alias(fresh.name, CHAMPION, made.version)
    assert "version 1 was not measured by this metric. Measure version 1" in str(tell(fresh, 200, measured(2, 1)))
    tell(fresh, 100, measured(20, 1), requested=False)
    assert fresh.client.get_model_version(fresh.name, 1).tags["frechet_attributes"] == "20.0"
    assert "against 20 (19 to 21) of version 1" in str(tell(fresh, 200, measured(2, 1)))


def test_without_being_asked_nothing_is_registered(fresh: SimpleNamespace) -> None:
    assert tell(fresh, 100, measured(20, 1), requested=False) is None
    assert fresh.client.search_registered_models(f"name = '{fresh.name}'") == []


def test_a_metric_that_was_not_measured_is_named_with_those_there_are(
    fresh: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    promotion = Promotion(True, "frechet_inception", fresh.name)
    with caplog.at_level(logging.WARNING):
        settle(fresh.client, promotion, fresh.models[100], measured(20, 1))
    assert (
        "frechet_inception, which was not measured. Use one of: frechet_attributes, precision_attributes" in caplog.text
    )
    with pytest.raises(PromotionError, match="swd, which has no interval"):
        tell(fresh, 100, measured(20, 1), metric="swd")
    assert fresh.client.search_registered_models(f"name = '{fresh.name}'") == []


def test_a_store_that_fails_costs_the_run_nothing(fresh: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    promotion = Promotion(True, "frechet_attributes", fresh.name)
    gone = "m-" + "0" * 32
    assert not fresh.run.attempt("the promotion", lambda: settle(fresh.client, promotion, gone, measured(20, 1)))
    assert "failed to log the promotion: Logged model with ID" in caplog.text


def test_a_model_that_no_store_has_is_refused(fresh: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    promotion = Promotion(True, "frechet_attributes", fresh.name)
    promotion.check([None, fresh.models[100]])
    with pytest.raises(PromotionError, match="only models that training logged"):
        promotion.check([None])
    with caplog.at_level(logging.WARNING):
        said = settle(fresh.client, promotion, None, measured(20, 1))
    assert str(said).startswith("Not promoted. evaluate.promote: the measured model is not in the store")
    assert "Not promoted. evaluate.promote: the measured model is not in the store" in caplog.text


@pytest.mark.parametrize(("settings", "refused"), [({"promote": True}, True), ({"promote": False}, False), ({}, False)])
def test_promotion_is_refused_before_the_run_where_nothing_is_tracked(settings: dict[str, Any], refused: bool) -> None:
    hook = MLflowTracking()
    hook._config = {"mlflow": {"disable": True}}  # type: ignore[assignment]
    pipeline = Pipeline([Node(lambda settings: {}, "params:evaluate", "evaluation", name="measure")])
    catalog = DataCatalog({"params:evaluate": MemoryDataset(settings)})
    if refused:
        with pytest.raises(PromotionError, match=r"mlflow\.yml has disable: true"):
            hook.before_pipeline_run({}, pipeline, catalog)
    else:
        hook.before_pipeline_run({}, pipeline, catalog)


def test_what_is_asked_for_is_read_from_the_parameters() -> None:
    params = {"evaluate.promote": True, "evaluate.promote_metric": "age", "evaluate.promote_as": "faces"}
    assert Promotion.read({}, {}) is None
    with pytest.raises(PromotionError, match="ranks no models"):
        Promotion.read(params, {})
    params["evaluate.promote_metric"] = "swd_32"
    with pytest.raises(PromotionError, match="promote_as is 'a/b'"):
        Promotion.read(params | {"evaluate.promote_as": "a/b"}, {})
    best = params | {"evaluate.checkpoint": "best"}
    with pytest.raises(PromotionError, match=r"Remove evaluate\.checkpoint"):
        Promotion.read(best, {})
    assert Promotion.read(best | {"evaluate.model": "models:/faces@champion"}, {}) is not None
    assert Promotion.read(best | {"evaluate.promote": False}, {}) is not None
    runtime_params = {"dataset": "mine", "train": {"kimg": 1}, "evaluate": {"model": "x", "seed": 3, "promote": True}}
    found = Promotion.read(params, {"env": "celeba", "runtime_params": runtime_params})
    command = "kedro run --env celeba --pipelines evaluate --params dataset=mine,evaluate.seed=3,"
    assert found == Promotion(True, "swd_32", "faces", command)


@pytest.mark.parametrize(
    ("form", "images", "label"),
    [
        ("models:/{model}", 200, "models:/{model}"),
        ("models:/fetched/1", 100, "models:/fetched/1"),
        ("models:/fetched@champion", 300, "models:/fetched@champion (version 2)"),
        ("runs:/{run}/generator", 300, "runs:/{run}/generator"),
    ],
)
def test_every_form_of_uri_gives_its_weights(
    store: SimpleNamespace, tmp_path: Path, form: str, images: int, label: str
) -> None:
    if not store.client.search_registered_models("name = 'fetched'"):
        named = SimpleNamespace(**{**vars(store), "name": "fetched"})
        tell(named, 100, measured(20, 1))
        tell(named, 300, measured(2, 1))
    spell: Callable[[str], str] = lambda text: text.format(model=store.models[200], run=store.run.id)  # noqa: E731
    fetched = fetch_generator(spell(form), SETTINGS, store.project, tmp_path)
    assert fetched.label == spell(label)
    assert fetched.file.is_relative_to(tmp_path)
    networks = read_exported(fetched.file)
    store_uri = SETTINGS.store_uri(store.project)
    assert celeba_gan.load_generator(spell(form), device="cpu", tracking_uri=store_uri).card == networks.generator.card
    assert networks.generator.card.images == images
    assert (networks.discriminator is None) == (images == 100)


def test_a_training_starts_from_a_model_with_its_discriminator_and_from_no_other(
    store: SimpleNamespace, tmp_path: Path
) -> None:
    experiments = ExperimentsDataset(str(tmp_path))
    experiments.store = SimpleNamespace(
        fetch_model=lambda uri, folder: fetch_generator(uri, SETTINGS, store.project, folder)
    )
    uri = f"models:/{store.models[200]}"
    initial = load_initial(experiments.load(), uri)
    assert initial.source == uri
    assert initial.card.images == 200
    network, latent = initial.card.network, initial.card.latent
    modules = {"generator": build_generator(network, latent, 16), "discriminator": build_discriminator(network, 16)}
    initial.load_into(modules)
    torch.manual_seed(200)
    expected = [build_generator(network, latent, 16), build_discriminator(network, 16)]
    for found, wanted in zip(modules.values(), expected, strict=True):
        assert all(torch.equal(found.state_dict()[name], value) for name, value in wanted.state_dict().items())
    for name, reason in ((f"models:/{store.models[100]}", "without its discriminator"), ("models:/x/1", "no model")):
        with pytest.raises(CheckpointError, match=rf"^train\.init_from: .*{reason}"):
            load_initial(experiments.load(), name)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("models:/nobody/1", "not found"),
        ("models:/nobody@champion", "not found"),
        ("models:/m-00000000000000000000000000000000", "not found"),
        ("models:/nobody", "a model's URI is models:/NAME/VERSION, "),
        ("runs:/00000000000000000000000000000000/generator", "not found"),
        ("runs:/{run}/critic", "has logged generator"),
    ],
)
def test_a_model_that_is_not_there_is_named_with_the_store(
    store: SimpleNamespace, tmp_path: Path, uri: str, why: str
) -> None:
    with pytest.raises(TrackingError) as caught:
        fetch_generator(uri.format(run=store.run.id), SETTINGS, store.project, tmp_path)
    message = str(caught.value)
    assert message.startswith(
        f"There is no model {uri.format(run=store.run.id)} in MLflow at sqlite:///{store.project}"
    )
    assert why in message
    assert "Registered models: " in message


def test_a_model_of_another_kind_is_refused(store: SimpleNamespace, tmp_path: Path) -> None:
    from mlflow.entities import LoggedModelStatus

    other = store.client.create_logged_model(store.run.store.experiment_id, name="forest")
    store.client.finalize_logged_model(other.model_id, LoggedModelStatus.READY)
    with pytest.raises(TrackingError, match=r"gave no artifacts/generator\.safetensors"):
        fetch_generator(f"models:/{other.model_id}", SETTINGS, store.project, tmp_path)
