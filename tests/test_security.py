"""Nothing that is loaded runs code, nothing that is served is open to others, and no secret gets out."""

import ast
import contextlib
import io
import json
import os
import pickle
import re
import shlex
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import celeba_gan
from kedro_here import run_python

SOURCES = Path(celeba_gan.__file__).parent
REPOSITORY = Path(__file__).parents[1]

UNPICKLES = {
    *("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"),  # modules
    *("read_pickle", "to_pickle", "jsonpickle", "unsafe_load", "full_load", "load_all", "Unpickler"),
    *("broadcast_object_list", "all_gather_object", "gather_object", "scatter_object_list", "recv_object_list"),
    *("allow_pickle", "weights_only", "torch.load", "numpy.load", "np.load", "yaml.load", "torch.jit.load"),
    *("torch.export.load", "torch.package", "torch.hub.load", "extractall", "unpack_archive", "os.system", "os.popen"),
    *("eval", "exec", "compile", "shell"),
}
ALLOWED = {
    # the one call that reads a pickle's file; it takes tensors only
    ("evaluation/features/inception.py", "torch.load"),
    ("evaluation/features/inception.py", "weights_only"),
}


def _used(tree: ast.AST) -> Iterator[str]:
    """The names of modules imported, of functions called and of their keywords."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            yield called
            if (last := called.rpartition(".")[2]) not in ("eval", "exec", "compile"):  # of torch's modules, and of re
                yield last
            yield from (word.arg for word in node.keywords if word.arg)


def test_nothing_in_the_sources_can_unpickle_or_run_text() -> None:
    found = set()
    for file in sorted(SOURCES.rglob("*.py")):
        used = set(_used(ast.parse(file.read_text(encoding="utf-8")))) & UNPICKLES
        found |= {(file.relative_to(SOURCES).as_posix(), name) for name in used}
    assert found == ALLOWED
    text = (SOURCES / "evaluation/features/inception.py").read_text(encoding="utf-8")
    assert text.count("torch.load(") == text.count("weights_only=True") == 1


@pytest.mark.parametrize(
    "program",
    [
        "import pickle", "import joblib as j", "from torch.distributed import all_gather_object",
        "torch.load(f)", "np.load(f)", "pd.read_pickle(f)", "yaml.load(f)", "x(allow_pickle=True)",
        "dist.broadcast_object_list(x)", "archive.extractall(p)", "subprocess.run(c, shell=True)", "eval(x)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(program: str) -> None:
    assert set(_used(ast.parse(program))) & UNPICKLES


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.made),)


def disguises(made: Path) -> dict[str, bytes]:
    """Files that run the payload where somebody unpickles them."""
    payload = Payload(made)
    plain = pickle.dumps(payload)
    array = io.BytesIO()
    np.save(array, np.array([payload] * 5, object), allow_pickle=True)
    arrays = io.BytesIO()
    np.savez(arrays, x=np.array([payload], object))
    weights = io.BytesIO()
    torch.save({"weight": payload}, weights)
    old_weights = io.BytesIO()
    torch.save({"weight": payload}, old_weights, _use_new_zipfile_serialization=False)
    header = json.dumps({"__metadata__": {"card": json.dumps({"kind": "generator", "!": plain.hex()})}}).encode()
    document = f"!!python/object/apply:os.mkdir [{json.dumps(str(made))}]".encode()
    return {
        "pickle": plain,
        "npy": array.getvalue(),
        "npz": arrays.getvalue(),
        "torch": weights.getvalue(),
        "old torch": old_weights.getvalue(),
        "safetensors": struct.pack("<Q", len(header)) + header + plain,
        "yaml": document,
        "program": f"__import__('os').mkdir({str(made)!r})".encode(),
    }


def test_the_disguises_work_where_somebody_unpickles(tmp_path: Path) -> None:
    """Else the next test would prove nothing."""
    for number, kind in enumerate(("pickle", "npy", "npz", "torch", "old torch")):
        made = tmp_path / f"made{number}"
        file = io.BytesIO(disguises(made)[kind])
        if kind == "pickle":
            pickle.load(file)
        elif "torch" in kind:
            torch.load(file, weights_only=False)
        else:
            found = np.load(file, allow_pickle=True)
            assert kind == "npy" or len(found["x"]) == 1
        assert made.exists(), kind


def _load(name: str, path: Path) -> Callable[[], object]:
    """What reads a file of the name as the project does."""
    from celeba_gan.datasets.packed_images import PackedImagesDataset
    from celeba_gan.datasets.reports import DocumentDataset
    from celeba_gan.datasets.runs import ClassifierDataset, RunDataset
    from celeba_gan.datasets.ticks import MetricRowsDataset, TrainingGridsDataset
    from celeba_gan.evaluation.features.config import FeatureFileSettings
    from celeba_gan.evaluation.features.file import FeatureFile
    from celeba_gan.evaluation.features.inception import InceptionFeatures
    from celeba_gan.evaluation.features.store import FeatureStore
    from celeba_gan.gan.runs.initial import load_initial
    from celeba_gan.gan.runs.models import Experiments
    from celeba_gan.images.packed import map_shard
    from celeba_gan.sources.config import IngestSettings
    from celeba_gan.sources.folder import ImageFolder
    from celeba_gan.sources.index import build_index

    evaluation = "celeba_gan.evaluation.documents.Evaluation"
    loaders: dict[str, Callable[[], object]] = {
        "run/training_state/state.safetensors": RunDataset(str(path / "run"), "snapshot").load,
        "run/generator.safetensors": lambda: RunDataset(str(path / "run")).load().networks(),  # type: ignore[union-attr]
        "model/generator.safetensors": lambda: celeba_gan.load_generator(path / "model", device="cpu"),
        "models/one/generator.safetensors": lambda: load_initial(Experiments(path / "models"), "one"),
        "classifier.safetensors": ClassifierDataset(str(path / "classifier")).load,
        "packed/shard-00000.npy": lambda: map_shard(path / "packed", _record(), 8),
        "packed/manifest.json": PackedImagesDataset(str(path / "packed")).load,
        "evaluation.json": DocumentDataset(str(path / "evaluation.json"), evaluation).load,
        "rows/000000000010.json": MetricRowsDataset(str(path / "rows")).load,
        "grids/000000000010.png": TrainingGridsDataset(str(path / "grids")).load,
        "features/key.npy": lambda: FeatureStore(path / "features").find("key", 5),
        "features/key.json": lambda: FeatureStore(path / "features").numbers("key", dict),
        "weights.pth": lambda: InceptionFeatures(path / "weights.pth"),
        "features.onnx": lambda: FeatureFile(FeatureFileSettings(path=str(path / "features.onnx"), size=8)),
        "faces.zip": lambda: build_index(ImageFolder(path / "faces.zip"), IngestSettings()),
        "faces/a.jpg": lambda: build_index(ImageFolder(path / "faces"), IngestSettings()),
        "tables/attributes.csv": lambda: build_index(ImageFolder(path / "tables"), IngestSettings()),
        "tables/dataset.json": lambda: build_index(ImageFolder(path / "tables"), IngestSettings()),
        "conf/base/parameters.yml": lambda: _loader(path)["parameters"],
        "conf/base/catalog.yml": lambda: _loader(path).read_file("base", "catalog.yml"),
    }
    return loaders[name]


def _loader(path: Path) -> Any:
    from celeba_gan.hooks.config_loader import ConfigLoader

    return ConfigLoader(path / "conf", base_env="base", default_run_env="base")


def _record() -> Any:
    from celeba_gan.images.packed import ShardRecord

    return ShardRecord(file="shard-00000.npy", images=5, sha256="")


FILES = [
    "run/training_state/state.safetensors", "run/generator.safetensors", "model/generator.safetensors",
    "models/one/generator.safetensors", "classifier.safetensors", "packed/shard-00000.npy", "packed/manifest.json",
    "evaluation.json", "rows/000000000010.json", "grids/000000000010.png", "features/key.npy", "features/key.json",
    "weights.pth", "features.onnx", "faces.zip", "faces/a.jpg", "tables/attributes.csv", "tables/dataset.json",
    "conf/base/parameters.yml", "conf/base/catalog.yml",
]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_no_disguised_pickle_is_run_by_any_file_that_is_loaded(tmp_path: Path, name: str) -> None:
    from PIL import Image

    from celeba_gan.evaluation.features.store import _checksum_of, _short

    for number, (kind, content) in enumerate(disguises(tmp_path / "made").items()):
        place = tmp_path / str(number)
        file = place / name
        file.parent.mkdir(parents=True)
        if name.startswith("tables/"):
            Image.new("RGB", (20, 20)).save(file.parent / "a.jpg")
        file.write_bytes(content)
        if name.startswith("features/"):  # a right name, and a right checksum
            tail = f".3.{_checksum_of(file, '3')}.npy" if name.endswith(".npy") else ".json"
            file.rename(file.with_name(f"{_short('key')}{tail}"))
        if name == "faces.zip":
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("a.jpg", content)
        with contextlib.suppress(Exception):  # which errors there are is tested elsewhere
            _load(name, place)()
        assert not (tmp_path / "made").exists(), f"{kind} as {name} was run"


def _defaults(parser_of: str) -> str:
    found = re.search(r'"--host".*?default="([^"]+)"', (SOURCES / parser_of).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def test_servers_listen_to_this_computer_alone_by_default() -> None:
    from kedro_viz.launchers.cli.run import run as viz
    from mlflow.cli import server
    from mlflow.models.cli import serve

    from celeba_gan.explorer.server import HOST

    assert HOST == _defaults("explorer/__main__.py") == _defaults("tracking/__main__.py") == "127.0.0.1"
    for command in (viz, server, serve):  # what make viz, make mlflow and the README's command start
        (host,) = [option for option in command.params if option.name == "host"]
        assert host.default in ("127.0.0.1", "localhost"), command.name
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert "--host" not in makefile


def test_every_command_that_serves_a_folder_names_this_computer() -> None:
    """Python's own server listens to all of the network if it is not bound."""
    texts = [
        *SOURCES.rglob("*.py"),
        *SOURCES.rglob("*.jinja"),
        *SOURCES.rglob("*.js"),
        *REPOSITORY.glob("docs/**/*.md"),
    ]
    commands = [
        line
        for file in [*texts, REPOSITORY / "README.md"]
        for line in file.read_text(encoding="utf-8").splitlines()
        if "-m http.server" in line
    ]
    assert len(commands) == 4
    assert all("http.server --bind 127.0.0.1" in line for line in commands)


SECRET = "hush4711"
ADDRESS = f"https://me:{SECRET}@host.invalid/x?token={SECRET}"
COMMANDS = [
    (
        "--env",
        "celeba",
        "--params",
        f"source.path=no,source.download=http://me:{SECRET}@127.0.0.1:9/celeba?token={SECRET}",
    ),
    ("--params", f"experiment={ADDRESS}"),
    ("--params", f"ingest.seed={ADDRESS}"),
    ("--params", f"train.init_from={ADDRESS},source.path={ADDRESS}"),
    ("--params", f"train.init_from={ADDRESS},evaluate.model={ADDRESS}"),
]


@pytest.mark.slow
def test_no_secret_of_a_run_gets_out(tmp_path: Path, copy_project: Callable[[Path], Path]) -> None:
    """Of a source, a model and a value that is none: neither printed, nor in any file, MLflow's among them."""
    small_project = copy_project(tmp_path / "project")
    for number, arguments in enumerate(COMMANDS):
        preset = arguments if "--env" in arguments else ("--env", "smoke", *arguments)
        for trace in ("0", "1") if number < 1 else ("0",):
            done = run_python(
                small_project, "-m", "kedro", "run", "--pipelines", "ingest", *preset,
                CELEBA_GAN_TRACEBACK=trace, COLUMNS="1000",
            )  # fmt: skip
            assert SECRET not in done.stdout + done.stderr, shlex.join(arguments)
    assert "host.invalid" in done.stdout + done.stderr or done.returncode == 0
    files = [path for path in small_project.rglob("*") if path.is_file()]
    assert small_project / "mlflow.db" in files
    assert b"host.invalid" in (small_project / "mlflow.db").read_bytes()  # the command, and the parameter
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
