"""A logged model behind `mlflow models serve`, and whether what it answers is right."""

import base64
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil  # type: ignore[import-untyped]
import torch
import yaml
from fresh_models import fresh_generator
from hostile_requests import Request
from numpy.typing import NDArray
from PIL import Image

from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.runs.snapshot import Networks
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.gan.settings import TrainSettings

PARAMETERS: Final = Path(__file__).parents[1] / "conf" / "base" / "parameters.yml"
LABELS: Final = ("Male", "Smiling", "Eyeglasses")
URI: Final = "models:/celeba_gan@champion"
_HOST: Final = "127.0.0.1"


@dataclass(frozen=True)
class Logged:
    """A champion in a store of its own."""

    store: str
    generator: TrainedGenerator


def log_champion(folder: Path, size: int | None = None, width: int | None = None) -> Logged:
    """Logs and registers a generator with fresh weights and labels, as large as the demo's or as given."""
    from celeba_gan.tracking.config import TrackingSettings
    from celeba_gan.tracking.logged_model import log_model
    from celeba_gan.tracking.store import Store

    parameters = yaml.safe_load(PARAMETERS.read_text(encoding="utf-8"))
    size = size or parameters["preprocess"]["size"]
    if width is not None:
        parameters["train"]["network"]["dcgan"]["width"] = width
    settings = TrainSettings.model_validate(parameters["train"])
    sets = ((), (0,), (1,), (0, 1), (0, 2))
    condition = Condition(kind="attributes", names=LABELS, sets=sets, counts=(5, 4, 3, 2, 1), digest="")
    generator = fresh_generator(settings.network, settings.latent, size, condition)
    store = Store.connect(TrackingSettings(tracking_uri=f"sqlite:///{folder}/mlflow.db"), folder)
    client, run = store.client, store.client.create_run(store.experiment_id)
    model_id = log_model(store, run.info.run_id, "generator", Networks(generator, None), "")
    name = URI.removeprefix("models:/").partition("@")[0]
    client.create_registered_model(name)
    location = client.get_logged_model(model_id).artifact_location
    version = client.create_model_version(name, location, run.info.run_id)
    client.set_registered_model_alias(name, "champion", version.version)
    return Logged(store.uri, TrainedGenerator(generator))


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    port: int
    process: psutil.Popen
    log: Path

    def connect(self) -> http.client.HTTPConnection:
        """A connection of one client."""
        return http.client.HTTPConnection(_HOST, self.port, timeout=120)

    def memory(self) -> float:
        """Resident MB of the processes that draw."""
        return float(sum(one.memory_info().rss for one in self.process.children(recursive=True)) / 1e6)

    def lives(self) -> bool:
        """Whether it answers, and none of its processes has been started again."""
        connection = self.connect()
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200 and self.process.poll() is None


@contextmanager
def serve(store: str, folder: Path, workers: int = 1) -> Iterator[Server]:
    """Runs `mlflow models serve` on the champion of a store, on this machine alone."""
    with socket.socket() as free:
        free.bind((_HOST, 0))
        port = free.getsockname()[1]
    options = ["--env-manager", "local", "--host", _HOST, "--port", str(port), "--workers", str(workers)]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", URI, *options]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it starts `uvicorn` by its name
    environment = os.environ | {"MLFLOW_TRACKING_URI": store, "PATH": path}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = psutil.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    server = Server(port, process, log)
    try:
        _wait(server)
        yield server
    finally:
        processes = [*process.children(recursive=True), process]
        for one in processes:
            one.terminate()
        for one in psutil.wait_procs(processes, timeout=20)[1]:
            one.kill()


def _wait(server: Server) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        if server.process.poll() is not None:
            break
        try:
            if server.lives():
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"The server did not start:\n{server.log.read_text()}")


def send(connection: http.client.HTTPConnection, request: Request) -> tuple[int, bytes]:
    """The status and the body of an answer."""
    connection.request(request.method, "/invocations", request.body, request.headers)
    response = connection.getresponse()
    return response.status, response.read()


def fault(generator: TrainedGenerator, request: Request, status: int, answer: bytes) -> str | None:
    """What is wrong with an answer to any request; None: it is refused with a reason, or it is right."""
    if b"Traceback" in answer or b"stack_trace" in answer:
        return "a stack trace"
    if status == 200:
        return "an answer to what must be refused" if request.refused else wrong(generator, request, answer)
    if not 400 <= status < 500:
        return f"status {status}"
    try:
        content = json.loads(answer)
    except ValueError:
        return f"no JSON: {answer[:80]!r}"
    return None if content.get("message") or content.get("detail") else "no reason"


def wrong(generator: TrainedGenerator, request: Request, answer: bytes) -> str | None:
    """How pictures differ from those that the generator itself makes, by more than a grey level in PNG; None: not."""
    rows, params = rows_of(json.loads(request.body))
    answers = json.loads(answer)["predictions"]
    if len(answers) != len(rows):
        return f"{len(answers)} answers to {len(rows)} rows"
    for row, found in zip(rows, answers, strict=True):
        row = {"truncation": 1.0, "labels": "", "format": "png", **params, **row}
        if found["format"] != row["format"]:
            return f"format {found['format']}"
        picture, expected = decode(found["image"], row["format"]), picture_of(generator, row)
        if picture.shape != expected.shape:
            return f"shape {picture.shape}"
        if row["format"] == "png" and np.abs(picture.astype(int) - expected).max() > 1:
            return "other pixels"
    return None


def rows_of(content: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows and the parameters of a request in any form, without what is null."""
    rows = next(value for name, value in content.items() if name != "params")
    if isinstance(rows, dict):
        rows = [dict(zip(rows["columns"], row, strict=True)) for row in rows["data"]]
    present = [{name: value for name, value in row.items() if value is not None} for row in rows]
    params = content.get("params") or {}
    return present, {name: value for name, value in params.items() if value is not None}


def picture_of(generator: TrainedGenerator, row: dict[str, Any]) -> NDArray[np.uint8]:
    """What the generator itself makes of a row; all but the row's latents and labels come from its seed."""
    seed, number = int(row.get("seed", 0)), int(row.get("number", 0))
    latents, labels = generator.draw(1, seed, row["labels"], first=number)
    if "latents" in row:
        latents = torch.tensor([row["latents"]], dtype=torch.float64).float()
    image: NDArray[np.uint8] = generator.images(latents, labels, row["truncation"])[0]
    return image


def decode(image: str, name: str) -> NDArray[np.uint8]:
    """The pixels of an encoded picture, whose format must be that one."""
    with Image.open(io.BytesIO(base64.b64decode(image, validate=True)), formats=[name.upper()]) as picture:
        return np.asarray(picture.convert("RGB"))
