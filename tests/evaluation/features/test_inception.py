import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch_fidelity import feature_extractor_inceptionv3

from celeba_gan.evaluation.features.inception import (
    NAME,
    InceptionError,
    InceptionFeatures,
    find_weights,
    resize,
    say_skipped,
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the right form with random weights: torch-fidelity's network as it is before it loads any."""
    path = tmp_path_factory.mktemp("inception") / NAME
    with pytest.MonkeyPatch.context() as patch:
        kind = feature_extractor_inceptionv3.FeatureExtractorInceptionV3
        patch.setattr(feature_extractor_inceptionv3, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(kind, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        network: nn.Module = kind("any", ["2048"])
    torch.save(network.state_dict(), path)
    return path


def test_features_and_probabilities_are_those_of_torch_fidelity_on_resized_images_for_any_batch(weights: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    extractor = InceptionFeatures(weights)
    features, probabilities = extractor.describe(images)
    assert (features.shape, probabilities.shape) == ((3, 2048), (3, 1008))
    network = feature_extractor_inceptionv3.FeatureExtractorInceptionV3("any", ["2048", "logits_unbiased"], weights)
    expected, logits = network(resize(torch.from_numpy(images)))
    assert np.allclose(features, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert np.allclose(probabilities, logits.softmax(dim=1).numpy(), rtol=1e-4, atol=1e-7)
    assert np.allclose(extractor(images[1:2]), features[1:2], rtol=1e-5, atol=1e-5 * features.max())


def test_resizing_is_clean_fids() -> None:
    """Pillow's bicubic on each channel as floats: with antialiasing, and nothing clipped between its two passes."""
    images = np.random.default_rng(1).integers(0, 256, (2, 400, 400, 3), dtype=np.uint8)
    ours = resize(torch.from_numpy(images)).permute(0, 2, 3, 1).numpy().astype(int)
    for image, result in zip(images, ours, strict=True):
        for channel in range(3):
            floats = Image.fromarray(image[:, :, channel].astype(np.float32), "F")
            theirs = np.asarray(floats.resize((299, 299), Image.Resampling.BICUBIC)).round().clip(0, 255)
            assert np.abs(result[:, :, channel] - theirs).max() <= 1


def test_what_is_no_such_file_is_refused_and_runs_no_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return open, (str(tmp_path / "sprung"), "w")

    for content in ({"a": torch.zeros(1)}, Trap()):
        torch.save(content, tmp_path / NAME)
        with pytest.raises(InceptionError, match="does not contain the weights"):
            InceptionFeatures(tmp_path / NAME)
    assert not (tmp_path / "sprung").exists()


def test_weights_are_found_where_torch_fidelity_puts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    caplog.set_level(logging.INFO)
    assert find_weights(None) is None
    assert not caplog.messages  # checks look for them, too, and say nothing
    say_skipped()
    assert f"put {NAME} from github.com/toshas/torch-fidelity/releases into {tmp_path}/hub/checkpoints" in caplog.text
    with pytest.raises(InceptionError, match="there is no file"):
        find_weights(str(tmp_path / "none.pth"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / NAME).touch()
    assert find_weights(None) == tmp_path / "hub" / "checkpoints" / NAME
