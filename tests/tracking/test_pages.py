"""MLflow's pages of three runs with different objectives, in a browser, as `make mlflow` opens them."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from browsers import needs_chromium, new_page
from kedro_here import run_python

pytestmark = [pytest.mark.slow, needs_chromium]

RPGAN = "train.objective.name=rpgan,train.penalty.gradient_penalty.weight=0,train.penalty.r1.weight=1"
OBJECTIVES = {"wgan": "train.objective.name=wgan", "hinge": "train.objective.name=hinge", "rpgan": RPGAN}


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def wait_for_server(port: str, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            requests.get(f"http://127.0.0.1:{port}/health", timeout=5).raise_for_status()
            return
        except requests.RequestException:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, copy_project: Callable[[Path], Path]) -> Iterator[str]:
    """What `python -m celeba_gan.tracking` prints, while its server runs."""
    project = copy_project(tmp_path_factory.mktemp("pages") / "project")
    for name, params in OBJECTIVES.items():
        given = f"experiment={name},{params}"
        done = run_python(project, "-m", "kedro", "run", "--env", "smoke", "--params", given)
        assert done.returncode == 0, done.stdout + done.stderr
    port = free_port()
    with (project / "ui.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celeba_gan.tracking", "--port", port, "--workers", "1"],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(project / "src")},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        printed = process.stdout.readline()
        try:
            wait_for_server(port, process)
            yield printed.removeprefix("The runs, in a few seconds: ").strip()
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)
            process.stdout.close()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    with new_page() as opened:
        opened.set_default_timeout(30_000)
        opened.add_init_script("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
        yield opened


def run_address(page: Any, address: str, name: str) -> str:
    page.goto(address)
    link = page.get_by_role("link", name=f"{name} default", exact=True).first
    return address.partition("#")[0] + str(link.get_attribute("href"))


def test_the_first_page_shows_the_curves_of_all_runs(page: Any, address: str) -> None:
    page.goto(address)
    for name in OBJECTIVES:
        page.get_by_role("link", name=f"{name} default", exact=True).first.wait_for()
    card = page.get_by_test_id("experiment-view-compare-runs-card").filter(has_text="train/discriminator_loss")
    card.locator("path.js-line").nth(2).wait_for(state="attached")
    lines = {str(line.get_attribute("d")) for line in card.locator("path.js-line").all()}
    assert len(lines) == 3
    assert all(line.count("L") >= 1 for line in lines)  # more than a point


def test_the_samples_of_all_runs_are_shown_with_a_slider_over_training(page: Any, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Add chart").first.click()
    page.get_by_role("menuitem", name="Image grid").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Show run parameters").click()  # there are so many that they would hide the pictures
    dialog.locator("[role=combobox], button").filter(has_text="Images").first.click()
    page.locator("[role=option]").filter(has_text="samples").click()
    pictures, slider = dialog.locator("img"), dialog.get_by_role("slider")
    pictures.nth(2).wait_for()
    before = [picture.get_attribute("src") for picture in pictures.all()]
    for _ in range(3):
        slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuenow") == slider.get_attribute("aria-valuemax") == "960"  # images seen
    page.wait_for_function(
        "before => document.querySelector('[role=dialog] img').src.indexOf(before) < 0", arg=before[0]
    )
    after = [picture.get_attribute("src") for picture in pictures.all()]
    assert len(set(before) | set(after)) == 6
    widths = [one.evaluate("async one => { await one.decode(); return one.naturalWidth }") for one in pictures.all()]
    assert min(widths) > 100
    dialog.get_by_role("button", name="Cancel").click()


def test_a_run_has_its_own_curves(page: Any, address: str) -> None:
    page.goto(run_address(page, address, "hinge") + "/model-metrics")
    page.get_by_role("tab", name="Model metrics").wait_for()
    card = page.get_by_test_id("experiment-view-compare-runs-card").filter(has_text="hinge default (train/auc)")
    card.locator("path.js-line").first.wait_for(state="attached")
    page.goto(page.url.removesuffix("/model-metrics"))
    page.get_by_text("Generator: dcgan, 16x16 pixels, objective hinge").wait_for()


def test_the_report_opens_beside_the_artifacts(page: Any, address: str) -> None:
    page.goto(run_address(page, address, "wgan") + "/artifacts")
    page.get_by_text("evaluation", exact=True).click()
    page.get_by_text("evaluation.html", exact=True).click()
    frame = page.frame_locator("iframe")
    frame.get_by_text("Verdict", exact=True).wait_for()
    assert frame.locator("img").first.evaluate("one => one.naturalWidth") > 100


def test_a_logged_model_says_what_it_is(page: Any, address: str) -> None:
    page.goto(re.sub("/runs.*", "/models?workflowType=machine_learning", address))
    page.get_by_role("link", name="generator", exact=True).first.click()
    page.get_by_text(re.compile(r"Generator: dcgan, 16x16 pixels, objective (wgan|hinge|rpgan)")).wait_for()
    page.get_by_text("trained/swd", exact=True).first.wait_for()


def test_three_runs_are_compared_by_the_parameters_that_differ(page: Any, address: str) -> None:
    page.goto(address.replace("compareRunsMode=CHART&", ""))
    page.get_by_role("link", name="rpgan default", exact=True).first.wait_for()
    page.locator("input[type=checkbox]").first.check(force=True)  # all of them
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("Comparing 3 Runs from 1 Experiment").wait_for()
    page.get_by_text("Show diff only").first.click()  # of the parameters
    differing = page.locator("tr").filter(has_text="train.objective.name")
    differing.wait_for()
    assert set(differing.inner_text().split()) == {"train.objective.name", *OBJECTIVES}
    assert not page.locator("tr").filter(has_text="train.batch_size").is_visible()  # it is the same in all
