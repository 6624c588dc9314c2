import json
import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from celeba_gan.gan.runs.checkpoint import Checkpoint, CheckpointError, read_card


@pytest.fixture
def checkpoint() -> Checkpoint:
    weights = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    return Checkpoint("generator", {"images": 7, "finished": False}, {"a": weights, "step": torch.tensor(3.0)})


def test_round_trip_is_exact_and_leaves_nothing_beside_the_file(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "deep" / "generator.safetensors"
    checkpoint.save(path)
    loaded = Checkpoint.load(path, "generator")
    assert loaded.card == checkpoint.card == read_card(path, "generator")
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in checkpoint.tensors.items())
    assert [file.name for file in path.parent.iterdir()] == ["generator.safetensors"]


def test_file_is_readable_as_the_umask_says(tmp_path: Path, checkpoint: Checkpoint) -> None:
    before = os.umask(0o022)
    try:
        checkpoint.save(tmp_path / "g.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "g.safetensors").stat().st_mode) == 0o644


def test_what_a_killed_save_left_is_removed_by_the_next(tmp_path: Path, checkpoint: Checkpoint) -> None:
    left = tmp_path / ".g.safetensors.partial"
    left.mkdir()
    (left / ".tmpABC").write_bytes(b"x" * 100)
    checkpoint.save(tmp_path / "g.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["g.safetensors"]


def test_other_kinds_versions_and_files_are_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = tmp_path / "g.safetensors"
    checkpoint.save(path)
    with pytest.raises(CheckpointError, match="is not a training state"):
        Checkpoint.load(path, "training_state")

    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 + 40])
    with pytest.raises(CheckpointError, match="damaged"):
        Checkpoint.load(path, "generator")

    for content in (b"", b"<html>quota exceeded</html>", os.urandom(200)):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is not a checkpoint of celeba_gan"):
            read_card(path, "generator")

    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="is not a checkpoint of celeba_gan"):
        read_card(path, "generator")

    for card in ("[]", "[" * 100_000, "3"):
        save_file({"a": torch.zeros(1)}, path, metadata={"card": card})
        with pytest.raises(CheckpointError, match="is not a checkpoint of celeba_gan"):
            read_card(path, "generator")

    save_file({"a": torch.zeros(1)}, path, metadata={"card": json.dumps({"kind": "generator", "format_version": 99})})
    with pytest.raises(CheckpointError, match="format version 99, this program reads 1"):
        read_card(path, "generator")
