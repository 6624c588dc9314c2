"""The notebooks: what is committed of them, and that every cell passes after a smoke run."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(file.stem for file in FOLDER.glob("*.ipynb"))
LARGEST = 400_000  # bytes
PATH = re.compile(r"(?<![\w<./:])/[\w.-]+/|\b[A-Z]:\\")
CLOCK = re.compile(r"\d\d:\d\d:\d\d|/s\b")
ADDRESS = re.compile(r"\b0x[0-9A-Fa-f]{6,}")
SMALLER = {"02_training": "KIMG, PORTRAITS = 1.6, 96", "03_latent_space": "STEPS = 5"}
PRINTED = {  # what a notebook prints whatever its sizes are
    "01_data": r"smaller than the target of 32: 12x12 pixels",
    "02_training": r"objective wgan without a bound on the critic's slope",
    "03_latent_space": r"lengths, of a drawn latent's: \d\.\d\d",
    "04_evaluation": r"one image, repeated(</?t[^>]*>|\s|[\d.]+|%)+100%",
}

Notebook = nbformat.NotebookNode


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def notebook(name: str) -> Notebook:
    return nbformat.read(FOLDER / f"{name}.ipynb", nbformat.NO_CONVERT)


def code(notebook: Notebook) -> list[Notebook]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: Notebook) -> list[Notebook]:
    return [output for cell in code(notebook) for output in cell.outputs]


def texts(notebook: Notebook) -> str:
    """All outputs that are text."""
    found = []
    for output in outputs(notebook):
        found.append(output.get("text", ""))
        found += [value for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(found)


def test_there_are_four() -> None:
    assert NAMES == ["01_data", "02_training", "03_latent_space", "04_evaluation"]


def test_committed_notebooks_are_valid_and_small(name: str, notebook: Notebook) -> None:
    nbformat.validate(notebook)
    assert (FOLDER / f"{name}.ipynb").stat().st_size < LARGEST


def test_all_cells_were_executed_in_order_without_an_error(notebook: Notebook) -> None:
    cells = code(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]


def test_committed_outputs_show_pictures_and_what_the_text_is_about(name: str, notebook: Notebook) -> None:
    kinds = {kind for output in outputs(notebook) for kind in output.get("data", {})}
    assert "image/jpeg" in kinds
    assert re.search(PRINTED[name], texts(notebook))


def test_nothing_of_the_machine_is_committed(notebook: Notebook) -> None:
    for text in [texts(notebook), *(cell.source for cell in notebook.cells)]:
        assert not PATH.findall(text)
        assert not CLOCK.findall(text)
        assert not ADDRESS.findall(text)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert not [cell for cell in notebook.cells if set(cell.metadata) - {"tags"}]  # no times of execution


@pytest.mark.parametrize("text", ["in /home/me/project", "'/tmp/x/y'", r"C:\data"])
def test_a_path_of_the_machine_is_found(text: str) -> None:
    assert PATH.search(text)


@pytest.mark.parametrize(
    "text", ["<td>a</td><td>", "train/valid", "https://kedro.org/x/", "../benchmarks/X.md", "a / b"]
)
def test_what_is_no_path_of_the_machine_is_not_found(text: str) -> None:
    assert not PATH.search(text)


def test_entries_of_the_catalog_exist(notebook: Notebook, repository: Path) -> None:
    catalog = yaml.safe_load((repository / "conf/base/catalog.yml").read_text())
    loaded = {name for cell in code(notebook) for name in re.findall(r'catalog\.load\("(\w+)"\)', cell.source)}
    assert loaded
    assert loaded <= catalog.keys()


def test_every_code_cell_is_introduced(notebook: Notebook) -> None:
    """After the imports, no more than two code cells follow each other."""
    kinds = [cell.cell_type for cell in notebook.cells]
    start = kinds.index("markdown", 1)
    assert "code code code" not in " ".join(kinds[start:])
    assert notebook.cells[-1].source.startswith("## Try next")


@pytest.mark.slow
def test_every_cell_passes_after_a_smoke_run(
    name: str, notebook: Notebook, tmp_path: Path, copy_trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_trained(tmp_path)
    shutil.copytree(FOLDER, project / "notebooks")
    monkeypatch.setenv("KEDRO_ENV", "smoke")
    parameters = [cell for cell in code(notebook) if "parameters" in cell.metadata.get("tags", [])]
    assert len(parameters) == (name in SMALLER)
    for cell in parameters:
        cell.source = SMALLER[name]
    resources = {"metadata": {"path": str(project / "notebooks")}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()  # raises the error of a cell
    assert all(cell.execution_count for cell in code(notebook))
    assert re.search(PRINTED[name], texts(notebook))
