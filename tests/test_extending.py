"""The worked examples of docs/how-to/extend.md, added to a copy of the project and used."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kedro_here import run_python

REPOSITORY = Path(__file__).parents[1]
GUIDE = (REPOSITORY / "docs" / "how-to" / "extend.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- (.+?) -->\n```\w+\n(.*?)```\n", re.DOTALL)
PLACE = re.compile(r'(?:(append|new) (\S+)|(before|after|replace) "(.+)" in (\S+))')
SMALL = "preprocess.size=16,preprocess.crop=none,preprocess.shard_images=64,train.kimg=0.064,train.tick_kimg=0.064,"
SMALL += "train.batch_size=8,train.n_critic=2,train.precision=float32,train.threads=1,train.grid.columns=4"


def examples(heading: str) -> list[tuple[str, str]]:
    """The blocks of a section: where each goes, and its text."""
    section = GUIDE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return BLOCK.findall(section)


def apply(project: Path, where: str, text: str) -> None:
    match = PLACE.fullmatch(where)
    assert match is not None, where
    whole, path, kind, literal, inside = match.groups()
    file = project / (path or inside)
    if whole == "new":
        assert not file.exists()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return
    before = file.read_text(encoding="utf-8")
    if whole == "append":
        file.write_text(f"{before}\n\n{text}", encoding="utf-8")
        return
    assert before.count(literal) == 1, literal
    parts = {
        "before": f"{text}\n\n{literal}" if text.startswith("class") else f"{text}{literal}",
        "after": f"{literal}\n{text.rstrip()}",
        "replace": text.rstrip(),
    }
    file.write_text(before.replace(literal, parts[kind]), encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, copy_project: Callable[[Path], Path]) -> Path:
    """A copy of the project with all four examples."""
    folder = copy_project(tmp_path_factory.mktemp("extended"))
    mlflow = folder / "conf/base/mlflow.yml"
    mlflow.write_text(mlflow.read_text().replace("disable: false", "disable: true"))
    for heading in ("An objective", "A pair of networks", "A metric", "A source of photographs"):
        for where, text in examples(heading):
            apply(folder, where, text)
    return folder


def kedro(project: Path, *arguments: str) -> str:
    result = run_python(project, "-m", "kedro", "run", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("heading", ["An objective", "A pair of networks", "A metric", "A source of photographs"])
def test_an_example_is_short(heading: str) -> None:
    blocks = examples(heading)
    assert blocks
    assert sum(text.count("\n") for _, text in blocks) <= 40


@pytest.mark.slow
def test_the_examples_work_together(project: Path) -> None:
    """One run with the new source, objective and networks, evaluated by the new metric."""
    photographs = project / "photographs"
    photographs.mkdir()
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    names = [f"{number:03d}.png" for number in range(120)]
    for name in names:
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(photographs / name)
    (photographs / "test.txt").write_text("\n".join(names[-24:]), encoding="utf-8")

    output = kedro(
        project,
        "--env",
        "listed",
        "--params",
        f"source.path={photographs},{SMALL},train.objective.name=exponential,train.penalty.gradient_penalty.weight=0,"
        "train.network.name=mlp,train.network.mlp.width=16,evaluate.classifier.epochs=1",
    )

    card = json.loads((project / "data/06_models/listed/generator.json").read_text(encoding="utf-8"))
    assert (card["objective"], card["network"]["name"], card["finished"]) == ("exponential", "mlp", True)
    manifest = json.loads((project / "data/05_model_input/listed/images/manifest.json").read_text(encoding="utf-8"))
    assert manifest["splits"] == {"train": [0, 86], "valid": [86, 96], "test": [96, 120]}
    evaluation = json.loads((project / "data/08_reporting/listed/evaluation.json").read_text(encoding="utf-8"))
    assert 0 <= evaluation["metrics"]["brightness_gap"] < 255
    assert 0 <= evaluation["floor"]["brightness_gap"] < 255
    assert "Difference of the mean pixels" in (project / "data/08_reporting/listed/evaluation.html").read_text()
    assert "gap of the mean pixels" in output


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("train.objective.name=exponentiel", "exponential"),
        pytest.param("train.network.name=mpl", "mlp", marks=pytest.mark.slow),
    ],
)
def test_a_misspelt_name_is_refused_with_the_new_one(project: Path, params: str, words: str) -> None:
    result = run_python(project, "-m", "kedro", "run", "--pipelines", "train", "--params", params)
    assert result.returncode == 1
    assert words in result.stdout + result.stderr
