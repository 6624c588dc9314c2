import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from celeba_gan.gan.runs.cards import ModelCard, RunCard
from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError, DamagedError, read_card, read_kind
from celeba_gan.gan.runs.snapshot import SNAPSHOT, Network


@pytest.fixture
def checkpoint(make_card: Callable[..., ModelCard]) -> Network:
    weights = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    return Checkpoint("generator", make_card(), {"a": weights, "step": torch.tensor(3.0)})


def test_round_trip_is_exact_and_leaves_nothing_beside_the_file(tmp_path: Path, checkpoint: Network) -> None:
    path = tmp_path / "deep" / "generator.safetensors"
    checkpoint.save(path)
    loaded = Checkpoint.load(path, "generator", ModelCard)
    assert loaded.kind == checkpoint.kind == read_kind(path)
    assert loaded.card == checkpoint.card == read_card(path, "generator", ModelCard)
    assert loaded.tensors.keys() == checkpoint.tensors.keys()
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in checkpoint.tensors.items())
    assert [file.name for file in path.parent.iterdir()] == ["generator.safetensors"]


def test_only_tensors_with_the_prefixes_are_read(tmp_path: Path, checkpoint: Network) -> None:
    checkpoint.save(tmp_path / "g.safetensors")
    assert list(Checkpoint.load(tmp_path / "g.safetensors", "generator", ModelCard, ("st", "x")).tensors) == ["step"]


def test_file_is_readable_as_the_umask_says(tmp_path: Path, checkpoint: Network) -> None:
    before = os.umask(0o022)
    try:
        checkpoint.save(tmp_path / "g.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "g.safetensors").stat().st_mode) == 0o644


def test_what_a_killed_save_left_is_removed_by_the_next(tmp_path: Path, checkpoint: Network) -> None:
    left = tmp_path / ".g.safetensors.partial"
    left.mkdir()
    (left / ".tmpABC").write_bytes(b"x" * 100)
    checkpoint.save(tmp_path / "g.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["g.safetensors"]


def test_other_kinds_and_files_are_refused(tmp_path: Path, checkpoint: Network) -> None:
    path = tmp_path / "g.safetensors"
    checkpoint.save(path)
    with pytest.raises(CheckpointError, match="is not a training state"):
        Checkpoint.load(path, SNAPSHOT, RunCard)

    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        Checkpoint.load(path, "generator", ModelCard)

    for content in (b"", b"<html>quota exceeded</html>", np.random.default_rng(0).bytes(200)):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is not a checkpoint of celeba_gan"):
            read_card(path, "generator", ModelCard)
        with pytest.raises(CheckpointError, match="is not a checkpoint of celeba_gan"):
            read_kind(path)

    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="is not a checkpoint of celeba_gan"):
        read_card(path, "generator", ModelCard)

    for card in ("[]", "[" * 100_000, "3"):
        save_file({"a": torch.zeros(1)}, path, metadata={"card": card})
        with pytest.raises(CheckpointError, match="is not a checkpoint of celeba_gan"):
            read_card(path, "generator", ModelCard)


def test_other_format_versions_are_refused_with_both(tmp_path: Path, make_card: Callable[..., ModelCard]) -> None:
    path = tmp_path / "g.safetensors"
    for version in (1, 99, "2"):
        card = {**make_card().to_json(), "kind": "generator", "format_version": version}
        save_file({"a": torch.zeros(1)}, path, metadata={"card": json.dumps(card)})
        with pytest.raises(CheckpointError, match=rf"g\.safetensors has format version {version}.*reads 2 to 2"):
            read_card(path, "generator", ModelCard)
        with pytest.raises(CheckpointError, match=f"format version {version}"):
            Checkpoint.load(path, "generator", ModelCard)


def test_a_card_that_lacks_a_field_is_refused_naming_it(tmp_path: Path, make_card: Callable[..., ModelCard]) -> None:
    card = {**make_card().to_json(), "kind": "generator"}
    del card["latent"]
    save_file({"a": torch.zeros(1)}, tmp_path / "g.safetensors", metadata={"card": json.dumps(card)})
    with pytest.raises(CheckpointError, match=r"g\.safetensors is not a valid card of a network \(latent: "):
        read_card(tmp_path / "g.safetensors", "generator", ModelCard)


def test_one_flipped_bit_anywhere_and_any_truncation_are_found(tmp_path: Path, checkpoint: Network) -> None:
    path = tmp_path / "g.safetensors"
    checkpoint.save(path)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    filling = len(whole[:header].rstrip())  # blanks up to a multiple of eight bytes
    draw = np.random.default_rng(0)
    for at in {*range(8), *draw.integers(0, header, 300).tolist(), *draw.integers(header, len(whole), 300).tolist()}:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << int(draw.integers(8))]) + whole[at + 1 :])
        if filling <= at < header:
            continue
        with pytest.raises(DamagedError, match=r"g\.safetensors is (damaged|not a checkpoint)"):
            Checkpoint.load(path, "generator", ModelCard)
    for length in {0, 7, 8, header - 1, header, len(whole) - 1, *draw.integers(0, len(whole), 50).tolist()}:
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedError, match=r"g\.safetensors is (damaged|not a checkpoint)"):
            Checkpoint.load(path, "generator", ModelCard)


def test_files_without_checksums_are_read(tmp_path: Path, checkpoint: Network) -> None:
    """As earlier versions wrote them."""
    card = {"kind": "generator", **checkpoint.card.to_json()}
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
    save_file(tensors, tmp_path / "g.safetensors", metadata={"card": json.dumps(card)})
    loaded = Checkpoint.load(tmp_path / "g.safetensors", "generator", ModelCard)
    assert loaded.card == checkpoint.card
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float64, torch.bfloat16, torch.float16])
def test_tensors_of_every_type_and_shape_have_a_checksum(
    tmp_path: Path, make_card: Callable[..., ModelCard], dtype: torch.dtype
) -> None:
    tensors = {name: torch.ones(shape, dtype=dtype) for name, shape in (("a", ()), ("b", (0, 3)), ("c", (2, 3)))}
    Checkpoint("generator", make_card(), tensors).save(tmp_path / "g.safetensors")
    loaded = Checkpoint.load(tmp_path / "g.safetensors", "generator", ModelCard).tensors
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())
