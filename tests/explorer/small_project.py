"""A small project: generators with and without labels, directions, packed images, a classifier."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from celeba_gan.evaluation.features.card import ClassifierCard
from celeba_gan.evaluation.features.classifier import AttributeClassifier, AttributeNetwork
from celeba_gan.gan.networks.build import build_generator
from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.networks.config import LatentSettings, NetworkSettings
from celeba_gan.gan.runs.cards import ModelCard
from celeba_gan.gan.runs.checkpoint import Checkpoint
from celeba_gan.gan.runs.run import export
from celeba_gan.gan.runs.snapshot import Network
from celeba_gan.gan.sampling.control_config import DirectionSettings
from celeba_gan.gan.sampling.directions import Classifier, find_directions
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.images.packed import Manifest, Recipe, ShardRecord, content_digest, hash_pixels

SIZE = 16
CONDITIONS = {
    "plain": None,
    "attributes": Condition(
        kind="attributes", names=("Male", "Smiling"), sets=((), (0,), (1,)), counts=(5, 3, 2), digest="d"
    ),
    "class": Condition(kind="class", names=("cat", "dog"), sets=((0,), (1,)), counts=(3, 7), digest="d"),
}


def make_network(kind: str, **changes: Any) -> Network:
    """A generator with random weights, whose faces depend much on their latents."""
    torch.manual_seed(len(kind))
    condition = CONDITIONS[kind]
    plain: dict[str, Any] = {
        "id": f"training of {kind}",
        "images": 7000,
        "finished": True,
        "init_from": None,
        "best": None,
        "size": SIZE,
        "random_crop": None,
        "data_digest": "d" * 16,
        "condition": condition,
        "network": NetworkSettings.model_validate({"dcgan": {"width": 8}}),
        "latent": LatentSettings(size=12),
        "objective": "wgan",
        "probability": "centred_sigmoid",
    }
    card = ModelCard.model_validate(plain | changes)
    module = build_generator(card.network, card.latent, card.size, None if condition is None else len(condition.names))
    with torch.no_grad():
        for weights in module.parameters():
            weights.add_(0.2 * torch.randn_like(weights))
    return Network("generator", card, module.state_dict())


def save_packed(folder: Path, images: NDArray[np.uint8]) -> str:
    """Packed images: all of them for training but the last four. Returns their digest."""
    folder.mkdir(parents=True)
    np.save(folder / "shard-00000.npy", images)
    stop = len(images) - 4
    splits = {"train": (0, stop), "valid": (stop, stop + 2), "test": (stop + 2, stop + 4)}
    shards = [ShardRecord(file="shard-00000.npy", images=len(images), sha256=hash_pixels(images))]
    manifest = Manifest(
        count=len(images),
        size=SIZE,
        recipe=Recipe(crop="none", size=SIZE, filter="box", background="#ffffff", decoder=2, pillow="12"),
        shard_images=len(images),
        source_digest="s",
        images_digest="i",
        splits=splits,
        shards=shards,
        unreadable=[],
        leaks=[],
        duplicates=[],
        digest=content_digest(SIZE, shards, splits),
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return manifest.digest


def make_project(project: Path) -> Path:
    """Three experiments; packed images, a classifier and directions for `plain`."""
    images = TrainedGenerator(make_network("plain")).sample(60, seed=123)
    digest = save_packed(project / "data" / "05_model_input" / "small" / "images", images)
    for kind in CONDITIONS:
        folder = project / "data" / "06_models" / kind
        folder.mkdir(parents=True)
        export(make_network(kind, data_digest=digest), folder / "generator")
    generator = TrainedGenerator(make_network("plain", data_digest=digest))
    torch.manual_seed(0)
    network = AttributeNetwork(3)
    names = ("Male", "Smiling", "Wearing_Hat")
    card = ClassifierCard(attributes=names, size=SIZE, made_from={"data_digest": digest})
    place = project / "data" / "06_models" / "datasets" / "small"
    place.mkdir(parents=True)
    Checkpoint("classifier", card, network.state_dict()).save(place / "attribute_classifier.safetensors")
    classifier = AttributeClassifier(names, network.state_dict())

    def centred(some: NDArray[np.uint8]) -> NDArray[Any]:  # random weights hardly tell images apart
        logits = classifier.network(torch.from_numpy(some).permute(0, 3, 1, 2).float() / 127.5 - 1)[1]
        return (50 * (logits - middle)).sigmoid().numpy()

    middle = classifier.network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1)[1].median(0).values
    settings = DirectionSettings(samples=256, effect_samples=16, closed_form=3)
    found = find_directions(generator, settings, 0, classifier=Classifier(names, centred, "random"))
    output = project / "data" / "07_model_output" / "plain"
    output.mkdir(parents=True)
    (output / "directions.json").write_text(json.dumps(found.to_json()))
    return project
