"""The page's endpoints, which any program on this computer can call with anything."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from celeba_gan.explorer.models import Models
from celeba_gan.explorer.recipe import ExplorerError
from celeba_gan.explorer.server import serve
from celeba_gan.explorer.session import ATTRIBUTES, CLOSED_FORM

SLIDERS = ATTRIBUTES + CLOSED_FORM
FACE: list[Any] = [None, "plain", "One face", 3, 5, 0.7, False, [], None, *[0] * SLIDERS]
MODEL, VIEW, SEED, NUMBER, TRUNCATION, LABELLED, LABELS, LABEL, FIRST = range(1, 10)
WRONG: list[Any] = [
    None,
    True,
    "x",
    "",
    [],
    {},
    -1,
    1e400,
    float("nan"),
    10**40,
    "../../etc/passwd",
    [[]],
    {"path": "/etc/passwd"},
]


@pytest.fixture(scope="module")
def address(project: Path) -> Iterator[str]:
    models = Models(project)
    models.refresh()
    with serve(models, "plain") as found:
        yield found.rstrip("/")


def call(address: str, endpoint: str, data: Any, **more: Any) -> requests.Response:
    """Calls an endpoint as the page does; NaN and Infinity are sent as Python's JSON has them."""
    body = json.dumps({"data": data, "session_hash": "test", **more})
    return requests.post(
        f"{address}/gradio_api/run/{endpoint}", body, headers={"content-type": "application/json"}, timeout=60
    )


def with_value(place: int, value: Any) -> list[Any]:
    return [*FACE[:place], value, *FACE[place + 1 :]]


def refusal(response: requests.Response) -> str:
    """The reason in a refusal."""
    assert response.status_code in (400, 413, 422, 500), response.text
    assert "Traceback" not in response.text
    assert "/site-packages/" not in response.text
    answer = response.json()
    reason = answer.get("error") or answer.get("detail")
    assert reason, answer
    return str(reason)


def test_a_face_comes_as_a_picture_in_the_answer(address: str) -> None:
    response = call(address, "draw", FACE)
    assert response.status_code == 200
    html = response.json()["data"][1]
    assert 'src="data:image/png;base64,' in html
    assert "Seed 3, face 5" in html


ALLOWED = [(LABELLED, True), (FIRST + ATTRIBUTES, -1)]
PLACES = [MODEL, VIEW, SEED, NUMBER, TRUNCATION, LABELLED, FIRST + ATTRIBUTES]


@pytest.mark.parametrize(
    ("place", "value"),
    [(p, v) for p in PLACES for v in WRONG if not any(p == q and v is w for q, w in ALLOWED)],
    ids=str,
)
def test_hostile_values_are_refused_with_a_reason(address: str, place: int, value: Any) -> None:
    response = call(address, "change", with_value(place, value))
    assert len(refusal(response)) > 10
    assert call(address, "draw", FACE).status_code == 200  # and the next one is answered


@pytest.mark.parametrize("value", [True, "0.5", -0.01, 1.01], ids=str)
def test_a_truncation_is_a_number_from_0_to_1(address: str, value: Any) -> None:
    assert "truncation" in refusal(call(address, "draw", with_value(TRUNCATION, value)))


@pytest.mark.parametrize(
    "name", ["../plain", "data/06_models/plain", "/etc/passwd", "models:/plain@x", "runs:/1/generator"]
)
def test_a_model_is_one_of_those_that_are_offered(address: str, name: str) -> None:
    for endpoint, data in (
        ("draw", with_value(MODEL, name)),
        ("change", with_value(MODEL, name)),
        ("blend", [None, name, 0.5]),
    ):
        assert "There are: attributes, class, plain" in refusal(call(address, endpoint, data))


@pytest.mark.parametrize("labels", [["Female"], "Male", [3], {"Male": 1}, ["Male"] * 10_000])
def test_labels_are_those_of_the_model(address: str, labels: Any) -> None:
    data = with_value(MODEL, "attributes")
    data[LABELLED], data[LABELS] = True, labels
    assert "abel" in refusal(call(address, "draw", data))


@pytest.mark.parametrize("data", [[], None, "x", {}, FACE[:5], [FACE]], ids=range(6))
def test_the_wrong_number_of_values_is_refused(address: str, data: Any) -> None:
    response = call(address, "draw", data)
    assert response.status_code in (422, 500)
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    "event", [None, {}, [], "x", {"number": -1}, {"number": "3"}, {"number": 1e99}, {"number": None}], ids=str
)
def test_a_face_of_the_grid_is_a_number(address: str, event: Any) -> None:
    assert "number" in refusal(call(address, "pick", FACE, event_data=event))


@pytest.mark.parametrize("fraction", [-1, 2, None, "x", float("nan")], ids=str)
def test_a_blend_needs_two_faces_and_a_place(address: str, fraction: Any) -> None:
    assert "Keep a face as A" in refusal(call(address, "blend", [None, "plain", fraction], session_hash="new"))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../../etc/passwd", "http://127.0.0.1:1/x.png", "", None, "C:\\x.png"], ids=str
)
@pytest.mark.parametrize("endpoint", ["project", "open"])
def test_files_that_were_not_uploaded_are_not_read(address: str, endpoint: str, path: Any) -> None:
    """Through the queue, as the page does: the answer is an event stream."""
    file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "x.png"}
    started = requests.post(f"{address}/gradio_api/call/{endpoint}", json={"data": [file]}, timeout=60)
    if started.status_code == 200:
        events = requests.get(f"{address}/gradio_api/call/{endpoint}/{started.json()['event_id']}", timeout=60).text
        assert "event: error" in events
        assert "event: complete" not in events
        assert "root:" not in events
    else:
        assert started.status_code in (400, 422, 500)


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../../etc/passwd", str(Path(__file__).absolute())])
def test_no_file_of_the_disk_is_served(address: str, path: str) -> None:
    response = requests.get(f"{address}/gradio_api/file={path}", timeout=60)
    assert response.status_code in (403, 404)


def test_large_uploads_are_refused(address: str) -> None:
    response = requests.post(f"{address}/gradio_api/upload", files={"files": ("x.png", b"\0" * 21_000_000)}, timeout=60)
    assert "20 MB" in refusal(response)


def test_other_host_names_are_refused(address: str) -> None:
    """A page elsewhere whose name points to this computer is another host to the browser, and must stay one."""
    port = address.rsplit(":", 1)[1]
    for host in (f"evil.example:{port}", "127.0.0.1.evil.example", "", "[", "@127.0.0.1:x"):
        assert requests.get(f"{address}/config", headers={"host": host}, timeout=60).status_code == 400
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", "localhost"):
        assert requests.get(f"{address}/config", headers={"host": host}, timeout=60).status_code == 200


def test_the_browser_is_told_to_load_nothing_from_elsewhere(address: str) -> None:
    response = requests.get(address, timeout=60)
    policy = response.headers["content-security-policy"]
    assert "http" not in policy
    assert "*" not in policy
    assert policy.startswith("default-src 'self';")


def test_only_this_computer_is_let_in(address: str) -> None:
    assert address.startswith("http://127.0.0.1:")


def test_a_port_that_is_taken_is_named_with_the_option_that_chooses_another(address: str, models: Models) -> None:
    taken = int(address.rsplit(":", 1)[1])
    for port in (taken, 99_999):
        expected = f"Port {port} of 127.0.0.1 is taken"
        with pytest.raises(ExplorerError, match=expected) as caught, serve(models, "plain", port):
            pass
        assert "--port" in str(caught.value)
        assert "GRADIO" not in str(caught.value)
        assert "launch" not in str(caught.value)


@pytest.mark.slow
def test_without_gradio_the_error_says_what_to_install(project: Path) -> None:
    script = (
        "import sys; sys.modules['gradio'] = None\n"
        "sys.argv = ['explorer', '--project', sys.argv[1]]\n"
        "from celeba_gan.explorer.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script, project], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "pip install 'celeba-gan[explore]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--model", "nobody"], "There is no model 'nobody' here. There are: attributes, class, plain"),
        pytest.param(["--device", "abacus"], "abacus", marks=pytest.mark.slow),
    ],
)
def test_a_wrong_option_is_one_error(project: Path, arguments: list[str], reason: str) -> None:
    command = [sys.executable, "-m", "celeba_gan.explorer", "--project", str(project), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_project_without_models_says_how_to_make_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "celeba_gan.explorer", "--project", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Train one with kedro run" in done.stderr
