"""`kedro viz build` after a run: what it says, and what its page shows in a browser."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from browsers import needs_chromium, new_page, served
from kedro_here import run_python

pytestmark = pytest.mark.slow

STAGES = ["ingest", "preprocess", "train", "evaluate", "generate"]
LAYERS = ["raw", "intermediate", "primary", "model_input", "models", "model_output", "reporting"]  # data/01_ to 08_


def build(project: Path) -> Path:
    """The static page of a project whose environment is `smoke`; fails if building says more than that it is done."""
    done = run_python(project, "-m", "kedro", "viz", "build", "--include-previews", KEDRO_ENV="smoke", COLUMNS="200")
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stdout.split("...Creating your build/deploy Kedro-Viz") if "WARNING" in line]
    assert [line for line in said if "Run events file" not in line] == []  # of `kedro run`, which a copy does not have
    assert "Warning" not in done.stdout + done.stderr
    return project / "build"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, copy_trained: Callable[..., Path]) -> Path:
    return build(copy_trained(tmp_path_factory.mktemp("viz") / "project"))


def test_before_any_run_there_is_nothing_to_show_and_no_warning(
    tmp_path: Path, copy_project: Callable[[Path], Path]
) -> None:
    graph = json.loads((build(copy_project(tmp_path / "project")) / "api/main").read_text())
    assert graph["layers"] == LAYERS


def test_the_stages_are_boxes_and_the_layers_are_those_of_data(built: Path) -> None:
    graph = json.loads((built / "api/main").read_text())
    assert graph["layers"] == LAYERS
    outer = {child["id"] for child in graph["modular_pipelines"]["__root__"]["children"]}
    assert set(STAGES) <= outer
    tasks = {node["id"] for node in graph["nodes"] if node["type"] == "task"}
    assert not tasks & outer


@pytest.fixture(scope="module")
def page(built: Path) -> Iterator[Any]:
    with served(built) as address, new_page() as opened:
        opened.goto(address)
        opened.set_default_timeout(20_000)
        opened.locator(".feature-hints__close").click()
        yield opened


def chosen(page: Any, name: str) -> Any:
    """The panel of a dataset or node that was clicked in the list beside the graph."""
    page.locator(f'button.row-text[title="{name}"]').click()
    panel = page.locator(".pipeline-metadata")
    panel.get_by_text(name, exact=True).first.wait_for()
    return panel


def decoded(picture: Any) -> tuple[int, int]:
    """Width and height of a picture that the browser has decoded."""
    picture.wait_for()
    size = picture.evaluate("async one => { await one.decode(); return [one.naturalWidth, one.naturalHeight] }")
    return int(size[0]), int(size[1])


@needs_chromium
def test_the_first_screen_shows_the_five_stages_in_the_order_of_their_work(page: Any) -> None:
    page.locator(".pipeline-node--modularPipeline").nth(len(STAGES) - 1).wait_for()
    boxes = [(box.bounding_box(), box.text_content()) for box in page.locator(".pipeline-node--modularPipeline").all()]
    assert [name for _, name in sorted(boxes, key=lambda one: one[0]["y"])] == STAGES
    assert all(box["y"] > 0 and box["y"] + box["height"] < 900 for box, _ in boxes)
    names = page.locator(".pipeline-layer-name")
    assert [name.text_content() for name in names.all()] == LAYERS


@needs_chromium
def test_tables_pictures_curves_and_pages_are_shown(page: Any) -> None:
    table = chosen(page, "image_index").locator("table")
    table.wait_for()
    assert table.locator("tr").count() == 9  # with the head
    assert table.locator("td").first.inner_text() == "000001.jpg"

    for name in ("sample_grid", "training_grids", "training_animation", "walk_film"):
        width, height = decoded(chosen(page, name).locator("img"))
        assert width > 50, name
        assert height > 50, name

    curves = chosen(page, "training_curves")
    curves.locator(".js-plotly-plot path.js-line").first.wait_for(state="attached")
    lines = [line.get_attribute("d") for line in curves.locator("path.js-line").all()]
    assert len(lines) > 5
    assert all(line.startswith("M") and "L" in line for line in lines[:2])  # the losses: more than one point

    report = chosen(page, "evaluation_page")
    report.get_by_text("Verdict", exact=True).wait_for()
    assert report.locator("table tr").count() > 5
    assert decoded(report.locator("img").first)[0] > 100


@needs_chromium
def test_training_is_drawn_beside_its_node(page: Any) -> None:
    page.get_by_placeholder("Search").fill("train_gan")  # it is inside a box
    page.locator("b", has_text="train_gan").wait_for()
    drawing = chosen(page, "train_gan").locator("svg[id^=mermaid]")
    drawing.wait_for()
    assert "discriminator step" in " ".join(drawing.text_content().split())
    assert drawing.bounding_box()["width"] > 100
