"""The model card: what Hugging Face reads of it, what it claims, and its code, which runs."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from tiny import make_network, make_subject

from celeba_gan.evaluation.documents import Evaluation
from celeba_gan.exporting.card import write_card, write_licence
from celeba_gan.exporting.folder import ExportedFolder
from celeba_gan.exporting.subject import Subject, TrainingData, describe, find_data
from celeba_gan.foundation.params import read_params
from celeba_gan.foundation.pixels import to_uint8
from celeba_gan.gan.runs.cards import Origin
from celeba_gan.gan.runs.run import read_exported
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.images.packed import Recipe

FIXTURE = Path(__file__).parents[1] / "evaluation/fixtures/evaluation_v1.json"


def measured(**protocol: Any) -> Evaluation:
    evaluation = Evaluation.read(FIXTURE)
    return evaluation.model_copy(update={"protocol": evaluation.protocol.model_copy(update=protocol)})


@pytest.fixture
def subject() -> Subject:
    return make_subject(TrainedGenerator(make_network()))


def code(card: str, word: str) -> str:
    """The block of Python with this word."""
    return next(block for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if word in block)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "attributes", pytest.param("class", marks=pytest.mark.slow)])
@pytest.mark.parametrize("distribution", ["normal", pytest.param("uniform", marks=pytest.mark.slow)])
def test_its_code_for_onnxruntime_makes_the_generators_images(
    kind: str, distribution: str, export_tiny: Callable[..., ExportedFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(kind, distribution)
    exported = export_tiny(network)
    monkeypatch.chdir(exported.path)
    found: dict[str, Any] = {}
    exec(code(Path("README.md").read_text(encoding="utf-8"), "onnxruntime"), found)
    labels = torch.from_numpy(found["labels"]) if kind != "plain" else None
    truncation = float(found["truncation"][0]) if kind == "plain" else 1.0
    assert (truncation < 1) == (kind == "plain")
    expected = TrainedGenerator(network).images(torch.from_numpy(found["latents"]), labels, truncation)
    assert found["pixels"].dtype == np.uint8
    assert np.abs(found["pixels"].astype(int) - expected).max() <= 1
    latents = found["latents"]
    assert (np.abs(latents).max() <= 1) == (distribution == "uniform")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "attributes", pytest.param("class", marks=pytest.mark.slow)])
def test_its_code_for_celeba_gan_makes_the_generators_images(
    kind: str, export_tiny: Callable[..., ExportedFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(kind)
    exported = export_tiny(network)
    monkeypatch.chdir(exported.path)
    found: dict[str, Any] = {}
    exec(code(Path("README.md").read_text(encoding="utf-8"), "load_generator"), found)
    trained = TrainedGenerator(network)
    expected = trained.sample(8, seed=0, truncation=0.7, labels=list(trained.names[:1]))
    assert found["pixels"].dtype == np.uint8
    assert np.abs(found["pixels"].astype(int) - expected).max() <= 1  # on the fastest device that there is


@pytest.mark.parametrize(
    "kind", ["plain", *(pytest.param(one, marks=pytest.mark.slow) for one in ("attributes", "class"))]
)
def test_its_code_for_the_torch_program_makes_the_generators_images(
    kind: str, export_tiny: Callable[..., ExportedFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(kind)
    exported = export_tiny(network)
    monkeypatch.chdir(exported.path)
    call = re.search(r"`(torch\.export\.load\(.*?)`", Path("README.md").read_text(encoding="utf-8"))
    assert call is not None
    trained = TrainedGenerator(network)
    latents, labels = trained.draw(4)
    images = eval(call[1], {"torch": torch, "latents": latents, "labels": labels})
    expected = trained.images(latents, labels, 0.7 if kind == "plain" else 1)
    assert np.abs(to_uint8(images).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", ["plain", "class"])
def test_it_says_whether_the_programs_have_a_truncation(kind: str) -> None:
    text = write_card(make_subject(TrainedGenerator(make_network(kind))), [])
    assert "more typical faces, and fewer different ones" in text
    assert ("no input for the truncation" in text) == (kind == "class")


@pytest.mark.parametrize("kind", ["plain", "attributes"])
def test_only_a_generator_without_labels_is_called_unconditional(kind: str) -> None:
    card = ModelCard(write_card(make_subject(TrainedGenerator(make_network(kind))), []))
    assert card.data.pipeline_tag == ("unconditional-image-generation" if kind == "plain" else None)


@pytest.mark.parametrize(
    ("crop", "said"), [(178, "the central 178 pixels"), ("none", "the largest square in its centre")]
)
def test_it_says_what_became_of_photographs(subject: Subject, crop: Any, said: str) -> None:
    recipe = Recipe(crop=crop, size=32, filter="box", background="#ffffff", decoder=1, pillow="12")
    text = write_card(replace(subject, data=replace(subject.data, recipe=recipe)), [])
    assert f"Each source image became one of 16×16 pixels: {said}, resized with the\nbox filter to 32" in text


def test_its_code_is_python_for_a_class_of_any_name() -> None:
    name = "a \"quoted\"\nname | with 'all'"
    network = make_network("class")
    assert network.card.condition is not None
    condition = network.card.condition.model_copy(update={"names": (name, "other")})
    card = network.card.model_copy(update={"condition": condition})
    text = write_card(make_subject(TrainedGenerator(replace(network, card=card))), [])
    for word in ("onnxruntime", "load_generator"):
        compile(code(text, word), "card", "exec")
    assert repr(name) in code(text, "load_generator")


def test_the_folder_is_what_the_card_says_and_holds_the_same_weights(
    export_tiny: Callable[..., ExportedFolder],
) -> None:
    network = make_network("attributes")
    exported = export_tiny(network)
    names = {path.name for path in exported.path.iterdir()}
    card = (exported.path / "README.md").read_text(encoding="utf-8")
    table = card[card.index("| File |") : card.index("## How to use it")]
    first_column = " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("|"))
    assert set(re.findall(r"`([^`]+)`", first_column)) == names - {"README.md"}
    found = read_exported(exported.path / "generator.safetensors").generator
    assert found.card == network.card
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in network.tensors.items())
    with Image.open(exported.path / "samples.png") as samples:
        assert samples.width > 3 * 96  # three samples and the rows' names
        assert len(samples.getcolors(1 << 24) or ()) > 50
    place = exported.path
    del exported
    assert not place.exists()


def test_hugging_face_reads_the_metrics_of_this_very_generator(subject: Subject) -> None:
    evaluation = measured()
    card = ModelCard(write_card(replace(subject, evaluation=evaluation), ["generator.onnx"]))
    assert card.data.pipeline_tag == "unconditional-image-generation"
    assert card.data.library_name == "celeba_gan"
    assert card.data.license == "mit"
    assert card.data.model_name == "tiny"
    results = {one.metric_type: one for one in card.data.eval_results}
    assert results["frechet_attributes"].metric_value == pytest.approx(evaluation.metrics["frechet_attributes"])
    assert results["frechet_attributes"].dataset_split == evaluation.protocol.split
    assert "age" not in results  # it ranks no generators
    assert all(
        value.metric_value == pytest.approx(evaluation.metrics[name], rel=1e-5) for name, value in results.items()
    )


def test_metrics_stand_beside_their_floor_and_interval(subject: Subject) -> None:
    evaluation = measured()
    text = write_card(replace(subject, evaluation=evaluation), [])
    row = next(line for line in text.splitlines() if line.startswith("| Fréchet distance"))
    cells = [cell.strip() for cell in row.split("|")][1:-1]
    interval = evaluation.intervals["frechet_attributes"]
    for written, number in zip(
        [cells[1], *cells[2].split(" to "), cells[3]],
        [evaluation.metrics["frechet_attributes"], interval.low, interval.high, evaluation.floor["frechet_attributes"]],
        strict=True,
    ):
        assert float(written.replace(",", "")) == pytest.approx(number, rel=0.05)  # written with two digits or more
    assert f"{evaluation.protocol.reals:,} real images" in text


@pytest.mark.parametrize(
    ("protocol", "used"),
    [
        ({"training_id": "one", "images": 7000}, True),
        ({"training_id": "one", "images": 6000}, False),
        ({"training_id": "two", "images": 7000}, False),
    ],
)
def test_an_evaluation_of_another_generator_is_not_its_own(protocol: dict[str, Any], used: bool) -> None:
    trained = TrainedGenerator(make_network())
    found = describe("tiny", trained, "best", run=None, data=TrainingData("unknown"), evaluation=measured(**protocol))
    text = write_card(found, [])
    assert ("model-index" in text) == used
    assert ("Not measured" in text) != used
    if not used:
        command = re.search(r"kedro run --pipelines evaluate --params (\S+)", text)
        assert command is not None
        assert read_params(command[1], {}) == {"experiment": "tiny", "evaluate": {"checkpoint": "best"}}


@pytest.mark.parametrize(
    ("kind", "licence", "said"),
    [
        ("celeba", "other", "non-commercial research only"),
        ("synthetic", "mit", "MIT"),
        ("folder", "unknown", "has\nto state both|this folder has to state both"),
        ("unknown", "unknown", "Unknown"),
    ],
)
def test_the_licence_follows_the_training_data(subject: Subject, kind: Any, licence: str, said: str) -> None:
    changed = replace(subject, data=TrainingData(kind, None if kind == "unknown" else 3300))
    text = write_card(changed, [])
    assert ModelCard(text).data.license == licence
    assert re.search(said, text)
    terms = write_licence(changed, [])
    assert ("MIT licence, as\nthe code" in terms) == (kind == "synthetic")
    assert ("non-commercial" in terms) == (kind == "celeba")


def test_weights_that_started_from_another_training_inherit_its_terms() -> None:
    network = make_network(init_from=Origin(id="elsewhere", images=5))
    subject = make_subject(TrainedGenerator(network))
    assert subject.licence.id == "unknown"
    assert "elsewhere" in write_card(subject, [])
    assert "elsewhere" in write_licence(subject, [])


class Packed:
    """Packed images with a digest, as far as a card needs them."""

    def __init__(self, digest: str) -> None:
        self.digest = digest

    def split(self, name: str) -> tuple[int, int]:
        return {"train": (0, 80)}[name]


def test_images_of_another_digest_are_not_its_training_data() -> None:
    card = make_network().card
    other: Any = Packed("another")
    assert find_data(card, other, None) == TrainingData("unknown")
    assert find_data(card, None, None) == TrainingData("unknown")
