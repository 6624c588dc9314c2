"""The documentation's pictures of pages: kedro viz, MLflow, the report and the explorer, in headless Chromium.

The runs in MLflow are those of docs/how-to/compare-runs.md; the graph, the demo's run and the report are those of
docs/tutorial.md. Addresses are those that `make mlflow` and `make explore ARGS="--model demo"` print, without a page.
Only what is named is pictured.

    kedro viz build --include-previews
    python benchmarks/page_pictures.py --viz DIR/build --demo http://127.0.0.1:5000
    python benchmarks/page_pictures.py --mlflow http://127.0.0.1:5000
    python benchmarks/page_pictures.py --report evaluation.html --explorer http://127.0.0.1:7860
"""

import argparse
import functools
import io
import json
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image

FOLDER = Path(__file__).parents[1] / "docs" / "images"
SCREEN = {"width": 1440, "height": 900}
SHOWN = {"code": False, "graph": True, "miniMap": False, "sidebar": False, "slicing": True, "traceback": False}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viz", type=Path, metavar="BUILD", help="what `kedro viz build` has made")
    parser.add_argument("--demo", metavar="ADDRESS", help="MLflow's, after `make run`")
    parser.add_argument("--mlflow", metavar="ADDRESS", help="MLflow's, after the three runs")
    parser.add_argument("--report", type=Path, metavar="PAGE")
    parser.add_argument("--explorer", metavar="ADDRESS")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        if arguments.viz:
            for theme, name in (("light", "kedro-viz"), ("dark", "kedro-viz-dark")):
                picture_viz(browser, arguments.viz, theme, FOLDER / f"{name}.png")
            picture_viz(browser, arguments.viz, "light", FOLDER / "tutorial-viz.png", "sample_grid")
        if arguments.demo:
            picture_demo(browser, arguments.demo)
        if arguments.mlflow:
            picture_mlflow(browser, arguments.mlflow)
        if arguments.report:
            picture_report(browser, arguments.report)
        if arguments.explorer:
            picture_explorer(browser, arguments.explorer)
        browser.close()


def picture_viz(browser: Any, build: Path, theme: str, file: Path, dataset: str | None = None) -> None:
    """The whole graph, with the stages as boxes, or with the list of its parts and what is known of a dataset."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(SimpleHTTPRequestHandler, directory=str(build)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    screen = {"width": 1280, "height": 680} if dataset else SCREEN  # so low that no path is shown
    page = browser.new_page(viewport=screen, device_scale_factor=1 if dataset else 1.5)
    visible = SHOWN | {"sidebar": bool(dataset), "slicing": not dataset}
    state = {"visible": visible, "theme": theme, "showFeatureHints": False}
    page.add_init_script(f"localStorage.setItem('KedroViz', JSON.stringify({json.dumps(state)}))")
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    page.locator(".pipeline-node--modularPipeline").nth(4).wait_for()
    page.wait_for_timeout(3000)  # it moves into its place
    if dataset:
        page.locator(f".pipeline-node:has(text:text-is('{dataset}'))").click()
        page.locator(".pipeline-metadata img").wait_for()
        page.wait_for_timeout(3000)
    save(page, file)
    page.close()
    server.shutdown()


def mlflow_page(browser: Any, address: str, **viewport: int) -> Any:
    """The charts of all runs, without what MLflow shows at a first visit."""
    page = browser.new_page(viewport=SCREEN | viewport)
    settings = {
        "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
        "mlflow.assistant.panelOpen_v1": "false",
        "mlflow.workflowType_v1": '"machine_learning"',
    }
    for name, value in settings.items():
        page.add_init_script(f"localStorage.setItem({json.dumps(name)}, {json.dumps(value)})")
    page.goto(f"{address}/#/experiments/1/runs?compareRunsMode=CHART&workflowType=machine_learning")
    page.locator("path.js-line").first.wait_for(state="attached")
    return page


def picture_demo(browser: Any, address: str) -> None:
    """The curves of the demo's run."""
    page = mlflow_page(browser, address, width=1200, height=620)
    picture_curves(page, "demo default", FOLDER / "tutorial-mlflow.png")
    page.close()


def picture_curves(page: Any, run: str, file: Path) -> None:
    """The curves of a run in the list on this page."""
    page.get_by_role("link", name=run, exact=False).first.click()
    page.get_by_role("tab", name="Model metrics").click()
    page.locator("path.js-line").first.wait_for(state="attached")
    page.wait_for_timeout(4000)
    save(page, file)


def picture_mlflow(browser: Any, address: str) -> None:
    """The curves of three runs, their samples, and the page of one."""
    page = mlflow_page(browser, address)
    page.wait_for_timeout(4000)
    save(page, FOLDER / "mlflow-compare.png")
    page.set_viewport_size({"width": 1440, "height": 1240})  # for the samples of all three
    page.get_by_role("button", name="Add chart").first.click()
    page.get_by_role("menuitem", name="Image grid").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Show run parameters").click()
    dialog.locator("[role=combobox], button").filter(has_text="Images").first.click()
    page.locator("[role=option]").filter(has_text="samples").click()
    dialog.locator("img").nth(2).wait_for()
    for _ in range(12):  # ticks
        dialog.get_by_role("slider").press("ArrowRight")
    page.wait_for_timeout(3000)
    save(page, FOLDER / "mlflow-samples.png")
    dialog.get_by_role("button", name="Cancel").click()
    page.set_viewport_size(SCREEN)
    picture_curves(page, "rpgan-r1-r2", FOLDER / "mlflow-run.png")
    page.close()


def picture_report(browser: Any, file: Path) -> None:
    """The beginning of an evaluation's page."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.goto(file.resolve().as_uri())
    page.wait_for_timeout(2000)
    save(page, FOLDER / "tutorial-report.png")
    page.close()


def picture_explorer(browser: Any, address: str) -> None:
    """A face with two directions moved."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    for name, value in (("Seed", "11"), ("Face", "3")):
        page.get_by_role("spinbutton", name=name, exact=True).fill(value)
        page.get_by_role("spinbutton", name=name, exact=True).press("Tab")
    sliders = page.locator("input[type=number]")
    sliders.nth(3).wait_for()
    page.wait_for_timeout(3000)
    for place, value in ((3, "0.5"), (6, "1.5")):
        sliders.nth(place).fill(value)
        sliders.nth(place).press("Tab")
        page.wait_for_timeout(2000)
    page.get_by_role("heading", name="Face explorer").click()  # no slider is in focus
    page.screenshot(path=FOLDER / "explorer.png")  # of all colours, unlike pages: it shows a face
    page.close()


def save(page: Any, file: Path) -> None:
    """Of 256 colours: enough for a page, and a third of the size."""
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
