"""Several ranks compute the features of an evaluation; rank 0 measures, with the same result as one process."""

import json
from pathlib import Path

import pytest
from rank_evaluation import measure

from ranks_here import run_ranks


@pytest.mark.slow
def test_three_ranks_measure_what_one_process_does(tmp_path: Path) -> None:
    program = str(Path(__file__).with_name("rank_evaluation.py"))
    for done in run_ranks([[program, str(tmp_path / "result")]] * 3):
        assert done.returncode == 0, done.stdout
    found, expected = json.loads((tmp_path / "result").read_text()), json.loads(json.dumps(measure()))
    assert sum(found["seen"]) == expected["seen"][0]  # each image was described once
    assert all(seen > 0.1 * expected["seen"][0] for seen in found["seen"])
    result, whole = found["result"], expected["result"]
    assert any(name.endswith("_colours") for name in whole["metrics"])
    assert result["samples"] == whole["samples"]
    for part in ("metrics", "floor", "floor_train"):
        assert result[part] == pytest.approx(whole[part], rel=1e-6), part
    assert result["protocol"] == whole["protocol"]
