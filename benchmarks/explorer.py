"""How long the explorer takes from a slider's event to the picture in the browser.

Headless Chromium moves a slider of the page; a timer in the page runs from the event to the first frame in which the
new picture is decoded and laid out: that of one face, or the first of the grid of twelve.
"""

import argparse
import shutil
import statistics
from pathlib import Path

from machine import describe
from playwright.sync_api import Page, sync_playwright

from celeba_gan.explorer.models import Models
from celeba_gan.explorer.server import serve

MOVE = """([slider, watched, value]) => new Promise((resolve, reject) => {
    const began = performance.now();
    setTimeout(() => reject(new Error("no new picture within 10 s")), 10_000);
    const before = document.querySelector(watched).src;
    const look = async () => {
        const image = document.querySelector(watched);
        if (!image || image.src === before) return;
        seen.disconnect();
        await image.decode();
        requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
    };
    const seen = new MutationObserver(look);
    seen.observe(document.querySelector("#stage"), { subtree: true, childList: true, attributes: true });
    const input = document.querySelectorAll(slider)[0];
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
})"""


def measure(page: Page, watched: str, moves: int) -> list[float]:
    """Milliseconds of each move, after five that are not counted."""
    times = []
    for place in range(moves + 5):
        value = round(-2.5 + 5 * ((place * 0.37) % 1), 2)
        times.append(float(page.evaluate(MOVE, [".directions input[type=range]", watched, value])))
        page.wait_for_timeout(60)
    return times[5:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo", help="with directions: kedro run --pipelines generate finds them")
    parser.add_argument("--project", type=Path, default=Path.cwd())
    parser.add_argument("--moves", type=int, default=50)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    models = Models(arguments.project.absolute())
    models.refresh()
    print(describe())
    print("\n| view | moves | median | p99 | slowest |\n|---|---|---|---|---|")
    with serve(models, arguments.model) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.wait_for_selector("#face")
        for view, watched in (("One face", "#face"), ("Grid of 12", "#grid img")):
            page.get_by_text(view, exact=True).click()
            page.wait_for_selector(watched)
            page.wait_for_timeout(500)
            times = measure(page, watched, arguments.moves)
            p99 = statistics.quantiles(times, n=100, method="inclusive")[98]
            print(
                f"| {view} | {len(times)} | {statistics.median(times):.0f} ms | {p99:.0f} ms | {max(times):.0f} ms |",
                flush=True,
            )
        browser.close()


if __name__ == "__main__":
    main()
