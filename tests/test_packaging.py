"""What the package requires, and the wheel in an environment of its own."""

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from celeba_gan.sources.download.download import check_mirror
from celeba_gan.sources.errors import SourceError
from kedro_here import configure

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "celeba_gan"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
# Parts of another package's interface, which that package itself brings.
BROUGHT = {
    "alembic": "mlflow", "click": "kedro", "httpx2": "huggingface-hub", "omegaconf": "kedro", "pluggy": "kedro",
    "starlette": "gradio", "urllib3": "requests",
}  # fmt: skip


def named(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


BASE = named(PROJECT["dependencies"])
OPTIONAL = {name for extra, texts in EXTRAS.items() if extra not in ("dev", "docs") for name in named(texts)}


@cache
def distributions() -> dict[str, set[str]]:
    """The distributions that hold each module that can be imported here."""
    return {module: {*map(canonicalize_name, names)} for module, names in metadata.packages_distributions().items()}


def requirements(module: str) -> set[str]:
    """Those of this package's requirements that bring a module."""
    names = {BROUGHT[module]} if module in BROUGHT else distributions()[module]
    return names & (BASE | OPTIONAL)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules of other people that a file imports, by their first name, and whether that happens on import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for statement in tree.body:
        types_only = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)
        inside = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for node in ast.walk(statement):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in (name.partition(".")[0] for name in names):
                if name not in sys.stdlib_module_names and name != "celeba_gan":
                    yield name, not types_only and not inside


def test_every_import_is_a_declared_requirement() -> None:
    found = {name for path in PACKAGE.rglob("*.py") for name, _ in imports(path)}
    assert {"torch", "yaml", "av", "gradio"} <= found
    assert {name for name in found if not requirements(name)} == set()


def test_every_requirement_is_imported_or_used_by_another_package() -> None:
    used = {what for path in PACKAGE.rglob("*.py") for name, _ in imports(path) for what in requirements(name)}
    # MLflow reads the GPU's load by nvidia-ml-py and opens stores by SQLAlchemy, torch exports by onnxscript, Kedro has
    # a command of kedro-viz, and fsspec looks for s3fs and gcsfs by the address.
    by_others = {"nvidia-ml-py", "sqlalchemy", "onnxscript", "kedro-viz", "s3fs", "gcsfs"}
    assert (BASE | OPTIONAL) - used == by_others


def test_only_the_explorer_imports_an_extra_when_it_is_imported() -> None:
    at_once = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        for name, on_import in imports(path)
        if on_import and requirements(name) <= OPTIONAL
    }
    assert at_once == {"explorer"}


def test_dev_brings_all_that_make_shows() -> None:
    (itself,) = (text for text in EXTRAS["dev"] if text.startswith(PROJECT["name"]))
    assert Requirement(itself).extras == EXTRAS.keys() - {"dev", "gcs"}  # a test needs the absence of gcs


@pytest.mark.parametrize(
    ("source", "package"), [("google_drive", "gdown"), ("huggingface:a/b", "huggingface_hub")]
)  # fmt: skip
def test_a_download_without_its_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, source: str, package: str
) -> None:
    check_mirror(source)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SourceError, match=rf"needs the package {package}.*pip install 'celeba-gan\[download\]'"):
        check_mirror(source)
    check_mirror("https://host/celeba/")


def test_kedro_viz_without_its_package_names_the_extra() -> None:
    configure()
    from celeba_gan.cli import cli, viz

    assert "viz" not in cli.commands  # since it is installed here
    done = CliRunner().invoke(viz, ["run", "--env", "smoke", "--port", "4141"])
    assert done.exit_code == 1
    assert "pip install 'celeba-gan[viz]'" in done.output


# The wheel.


def closure(requirements: Iterable[str], seen: set[str] | None = None) -> set[str]:
    """The installed distributions that pip would install for these, with what they require in turn."""
    seen = set() if seen is None else seen
    waiting = [(Requirement(text), "") for text in requirements]
    done: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        seen.add(name)
        for wanted in {"", *requirement.extras}:
            if (name, wanted) not in done:
                done.add((name, wanted))
                waiting += [(Requirement(text), wanted) for text in metadata.requires(name) or []]
    return seen


def link(names: set[str], target: Path) -> None:
    """Links the files of these distributions, and no others', into a folder of packages."""
    owners: dict[str, set[str]] = {}
    files: dict[str, list[metadata.PackagePath]] = {}
    for distribution in metadata.distributions():
        name = canonicalize_name(distribution.metadata["Name"])
        files[name] = [file for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")]
        for file in files[name]:
            owners.setdefault(file.parts[0], set()).add(name)
    for name in names:
        for file in files[name]:
            top = file.parts[0]
            part = top if owners[top] <= names else str(file)  # of a folder that others share: file by file
            if not (place := target / part).exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / part)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and the packages that it requires without any extra."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # where building leaves its files
    source.mkdir()
    shutil.copytree(REPOSITORY / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source], folder)
    run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], folder)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder / "venv")}))
    link(closure(PROJECT["dependencies"]), packages)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(packages)  # which is all that an installation does, but for commands
    return Path(sysconfig.get_path("scripts", "venv", {"base": str(folder / "venv")})) / "python"


def run(command: list[str | Path], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=alone(), timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alone() -> dict[str, str]:
    """This environment without what leads to other packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


@pytest.mark.slow
def test_the_environment_has_the_wheel_and_no_extra(python: Path, tmp_path: Path) -> None:
    modules = [module for module, names in distributions().items() if names & {*OPTIONAL, "pytest", "mypy"}]
    assert {"av", "gradio", "kedro_viz", "gdown", "onnxruntime", "pytest"} <= set(modules)
    program = "import celeba_gan, sys; from importlib.util import find_spec; print(celeba_gan.__file__)\n"
    program += f"print([name for name in {modules} if find_spec(name)])"
    where, found = run([python, "-c", program], tmp_path).splitlines()
    assert python.parents[1] in Path(where).parents
    assert found == "[]"


@pytest.mark.slow
def test_the_wheel_runs_every_stage_with_the_archived_configuration(python: Path, tmp_path: Path) -> None:
    archive = tmp_path / "conf-celeba_gan.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(REPOSITORY / "conf", "conf", filter=lambda member: None if "/local" in member.name else member)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    run([python, "-m", "celeba_gan", f"--conf-source={archive}", "--env=smoke"], folder)
    for name in ("06_models/smoke/generator.safetensors", "08_reporting/smoke/evaluation.html"):
        assert (folder / "data" / name).is_file()
    assert (folder / "data/07_model_output/smoke/samples").is_dir()


@pytest.mark.slow
def test_the_wheel_trains_from_python(python: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (300, 16, 16, 3), np.uint8)
    for number, one in enumerate(pixels):
        Image.fromarray(one).save(folder / f"{number}.png")
    program = (
        "import celeba_gan\n"
        "celeba_gan.train('photographs', 'faces', size=16, kimg=0.1, batch_size=16)\n"
        "print(celeba_gan.load_generator('faces').sample(3, seed=1).shape)\n"
        "print(sorted(celeba_gan.evaluate('faces').metrics)[0])"
    )
    assert run([python, "-c", program], tmp_path).split("\n")[-3:-1] == ["(3, 16, 16, 3)", "age"]


@pytest.mark.slow
def test_kedro_in_the_wheels_environment_says_which_extra_is_missing(
    python: Path, tmp_path: Path, copy_project: Callable[[Path], Path]
) -> None:
    project = copy_project(tmp_path / "project")
    for command, extra in (
        (["kedro", "viz", "run", "--env", "smoke"], "viz"),
        (["kedro", "run", "--env=celeba_small", "--params=source.download=google_drive"], "download"),
        (["kedro", "run", "--env=smoke", "--params=generate.film.formats=mp4"], "film"),
        (["kedro", "run", "--env=smoke", "--pipelines=ingest,preprocess,train,export"], "onnx"),
        (["kedro", "run", "--env=smoke", "--params=storage.packed=s3://bucket/x"], "s3"),
    ):
        command = [python, "-m", *command]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, env=alone(), timeout=120)
        assert done.returncode == 1
        assert f"pip install 'celeba-gan[{extra}]'" in " ".join((done.stdout + done.stderr).split())
        assert "Traceback" not in done.stdout + done.stderr
