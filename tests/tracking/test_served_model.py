"""`mlflow models serve` on a champion: right pictures, refusals with a reason, many clients. A short benchmark."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from hostile_requests import Request, by_hand
from served import Logged, Server, log_champion, send, serve, wrong

from serving import attack, load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return log_champion(tmp_path_factory.mktemp("store"), size=16, width=4)


@pytest.fixture(scope="module", params=[1, 2])
def server(
    logged: Logged, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Server]:
    with serve(logged.store, tmp_path_factory.mktemp("server"), request.param) as found:
        yield found


def post(server: Server, content: object) -> tuple[int, Any]:
    status, answer = send(server.connect(), Request(json.dumps(content).encode()))
    return status, json.loads(answer)


def test_every_form_of_request_is_answered_with_the_generators_own_pictures(server: Server, logged: Logged) -> None:
    rows = [{"seed": 2**63 - 1, "labels": "Male+Smiling"}, {"seed": 7, "number": 9, "labels": None}]
    contents: list[dict[str, object]] = [{form: rows} for form in ("dataframe_records", "inputs", "instances")]
    contents.append({"dataframe_split": {"columns": ["seed", "labels"], "data": [[5, "Male"], [None, None]]}})
    latents = {"latents": [0.1] * logged.generator.latent.size, "truncation": 0.5, "labels": "Male"}
    contents.append({"inputs": [latents, {"seed": 2**60}], "params": {"truncation": 0.2}})
    contents.append({"inputs": [{}], "params": {"format": "webp"}})
    contents.append({"inputs": [{}] * 256})
    for content in contents:
        request = Request(json.dumps(content).encode())
        status, answer = send(server.connect(), request)
        assert status == 200
        assert wrong(logged.generator, request, answer) is None


def test_what_is_refused_is_named_and_no_more(server: Server) -> None:
    status, answer = post(server, {"inputs": [{"seed": 1}, {"seed": 1.5}]})
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer["message"] == f"row 1: seed is 1.5; give a whole number from 0 to {2**63 - 1}"
    status, answer = post(server, {"inputs": [{"labels": "x" * 10_000_000}]})
    assert status == 413
    assert "bytes; give at most" in answer["message"]


def test_hostile_requests_are_refused_with_a_reason_or_answered_rightly(server: Server, logged: Logged) -> None:
    by_hand_alone = len(by_hand(logged.generator.latent.size))
    found = attack(server, logged, by_hand_alone + 150)
    assert found.faults == []
    assert found.refused >= by_hand_alone - 1  # one of them is right
    assert found.answered > 0


def test_many_clients_at_once_lose_nothing_and_get_the_right_pictures(server: Server, logged: Logged) -> None:
    found = load(server, logged, clients=20, seconds=3)
    assert found.faults == []
    assert len(found.latencies) >= 20


def test_the_lines_of_the_guide_draw_a_picture(
    server: Server, logged: Logged, repository: Path, tmp_path: Path
) -> None:
    text = (repository / "docs/how-to/serve.md").read_text(encoding="utf-8")
    (lines,) = [block for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) if "/invocations" in block]
    command = lines.replace("localhost:5001", f"127.0.0.1:{server.port}").replace("python ", f"{sys.executable} ")
    assert command.count(str(server.port)) == command.count(sys.executable) == 1
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)
    (row,) = json.loads(next(word for word in shlex.split(lines) if word.startswith("{")))["inputs"]
    (picture,) = tmp_path.glob("*.png")
    expected = logged.generator.sample(1, row["seed"], row["truncation"])[0]
    assert np.abs(np.asarray(Image.open(picture)).astype(int) - expected).max() <= 1
