"""The page in a browser: it draws what onnxruntime computes, by mouse and keyboard, and loads only its own folder."""

import functools
import math
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from filelock import FileLock
from numpy.typing import NDArray
from tiny import make_network, make_subject

from celeba_gan.exporting.config import ExportSettings
from celeba_gan.exporting.errors import ExportError
from celeba_gan.exporting.folder import ExportedFolder, export_folder
from celeba_gan.exporting.web_runtime import WebRuntime

KINDS = {"plain": ("plain", "uniform"), "attributes": ("attributes", "normal"), "class": ("class", "normal")}

pytestmark = [
    pytest.mark.slow,  # npm fetches 33 MB
    pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm"),
]


@pytest.fixture(scope="session")
def web_runtime(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> WebRuntime:
    """The one of this checkout if an export has fetched it, else one for all tests."""
    own = WebRuntime(repository / "data/01_raw/onnxruntime-web")
    if own.folder.is_dir():
        return own
    root = tmp_path_factory.getbasetemp().parent
    shared = WebRuntime(root / "onnxruntime-web")
    with FileLock(root / "onnxruntime-web.lock"):
        if not shared.folder.is_dir():
            try:
                shared.copy_to(tmp_path_factory.mktemp("fetched") / "copy")
            except ExportError as error:
                if "could not fetch" in str(error):
                    pytest.skip(str(error))
                raise
    return shared


@pytest.fixture(scope="module")
def exports(web_runtime: WebRuntime) -> dict[str, ExportedFolder]:
    settings = ExportSettings(torch_program=False, grid_rows=1, grid_columns=2)
    return {
        name: export_folder(make_network(*kind), settings, web_runtime, make_subject) for name, kind in KINDS.items()
    }


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@dataclass
class Shown:
    """A page that has drawn its first faces."""

    page: Any
    session: onnxruntime.InferenceSession
    requests: list[str]
    errors: list[str]
    address: str

    def wait(self, turn: int) -> None:
        self.page.wait_for_selector(f'body[data-shown="{turn}"]', timeout=60_000)

    def pixels(self) -> NDArray[np.uint8]:
        """What is on the canvases: (faces, size, size, 3)."""
        found = self.page.evaluate(
            """() => [...document.querySelectorAll("#faces canvas")].map((canvas) =>
                [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data])"""
        )
        size = int(math.sqrt(len(found[0]) / 4))
        pixels = np.array(found, np.uint8).reshape(-1, size, size, 4)
        assert (pixels[..., 3] == 255).all()
        return pixels[..., :3]

    def draw(self, seed: int, labels: list[float] | None = None) -> dict[str, Any]:
        """The latents and labels of a seed, as the page draws them."""
        found: dict[str, Any] = self.page.evaluate(
            """([seed, labels]) => {
                const found = celebaGan.draw(seed, labels && Float32Array.from(labels));
                return { latents: [...found.latents], labels: found.labels && [...found.labels] };
            }""",
            [seed, labels],
        )
        return found

    def expected(self, drawn: list[dict[str, Any]], truncation: float = 1) -> NDArray[np.uint8]:
        """The pixels that onnxruntime makes of them in Python."""
        feeds = {
            name: np.array([one[name] for one in drawn], np.float32)
            for name in ("latents", "labels")
            if drawn[0][name] is not None
        }
        if "labels" not in feeds:
            feeds["truncation"] = np.array([truncation], np.float32)
        (images,) = self.session.run(["images"], feeds)
        return np.rint((images.transpose(0, 2, 3, 1) + 1) * 127.5).clip(0, 255).astype(np.uint8)

    def check(self, seeds: range, truncation: float = 1, labels: list[float] | None = None) -> NDArray[np.uint8]:
        """Checks that these faces are shown, and returns them."""
        shown = self.pixels()
        expected = self.expected([self.draw(seed, labels) for seed in seeds], truncation)
        assert shown.shape == expected.shape
        different = np.abs(shown.astype(int) - expected)
        assert different.max() <= 1  # one step, where a value is half way between two
        assert (different > 0).mean() < 0.01
        assert (shown.reshape(len(shown), -1).std(axis=1) > 5).all()  # none is blank
        return shown


@pytest.fixture(params=KINDS)
def shown(request: pytest.FixtureRequest, exports: dict[str, ExportedFolder], browser: Any) -> Iterator[Shown]:
    folder = exports[request.param].path
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page()
    page.set_default_timeout(60_000)
    session = onnxruntime.InferenceSession(folder / "generator.onnx")
    found = Shown(page, session, [], [], f"http://127.0.0.1:{server.server_port}/")
    page.on("request", lambda sent: found.requests.append(sent.url))
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.on("console", lambda message: found.errors.append(message.text) if message.type == "error" else None)
    page.goto(found.address)
    found.wait(1)
    yield found
    page.close()
    server.shutdown()
    server.server_close()
    assert found.errors == []
    assert all(url.startswith((found.address, "data:", "blob:")) for url in found.requests), found.requests


def test_it_shows_what_onnxruntime_computes(shown: Shown) -> None:
    first = shown.check(range(12))
    assert len({face.tobytes() for face in first}) == 12
    shown.page.click("#next")
    shown.wait(2)
    assert shown.page.input_value("#seed") == "12"
    shown.check(range(12, 24))
    shown.page.select_option("#count", "4")
    shown.wait(3)
    shown.page.fill("#seed", "5")
    shown.page.press("#seed", "Enter")
    shown.page.wait_for_function("document.querySelector('#faces').textContent.startsWith('seed 5')")
    shown.page.wait_for_function("!document.querySelector('#status').textContent.startsWith('Loading')")
    assert np.array_equal(shown.check(range(5, 9)), first[5:9])


def move_slider(shown: Shown, value: float) -> None:
    shown.page.evaluate(
        """(value) => { const range = document.querySelector("#truncation"); range.value = value;
            for (const kind of ["input", "change"]) range.dispatchEvent(new Event(kind, { bubbles: true })); }""",
        value,
    )


@pytest.mark.parametrize("shown", ["plain"], indirect=True)
def test_the_slider_truncates_as_onnxruntime_does(shown: Shown) -> None:
    free = shown.check(range(12))
    move_slider(shown, 0.5)
    shown.wait(2)
    assert "0.50" in shown.page.inner_text("label[for=truncation]")
    half = shown.check(range(12), truncation=0.5)
    assert half.std(axis=0).mean() < 0.9 * free.std(axis=0).mean()  # fewer different ones
    move_slider(shown, 0)
    shown.wait(3)
    assert shown.check(range(12), truncation=0).std(axis=0).max() < 1  # all are the same
    move_slider(shown, 1)
    shown.wait(4)
    assert "off" in shown.page.inner_text("label[for=truncation]")
    assert np.array_equal(shown.pixels(), free)
    described = shown.page.get_attribute("#truncation", "aria-describedby")
    assert "more typical faces, fewer different ones" in shown.page.inner_text(f"#{described}")


@pytest.mark.parametrize("shown", ["attributes", "class"], indirect=True)
def test_with_labels_there_is_no_slider_and_the_page_says_why(shown: Shown) -> None:
    assert shown.page.query_selector("#truncation") is None
    assert "depends on the labels" in shown.page.inner_text("footer")


def uniforms(seed: int) -> Iterator[float]:
    """mulberry32, by its definition."""
    mask = 0xFFFFFFFF
    state = seed & mask
    while True:
        state = (state + 0x6D2B79F5) & mask
        mixed = ((state ^ (state >> 15)) * (state | 1)) & mask
        mixed ^= (mixed + (mixed ^ (mixed >> 7)) * (mixed | 61)) & mask
        yield ((mixed ^ (mixed >> 14)) & mask) / 2**32


def test_latents_are_mulberry32_and_box_muller(shown: Shown) -> None:
    normal = shown.page.evaluate("celebaGan.model.latent.distribution") == "normal"
    for seed in (0, 1, 12345, 2**32 - 1):
        draws = uniforms(seed)
        if normal:
            pairs = [(math.sqrt(-2 * math.log(1 - next(draws))), 2 * math.pi * next(draws)) for _ in range(6)]
            wanted = [radius * turn(angle) for radius, angle in pairs for turn in (math.cos, math.sin)]
        else:
            wanted = [2 * next(draws) - 1 for _ in range(12)]
        np.testing.assert_allclose(shown.draw(seed)["latents"], wanted, atol=1e-6)


@pytest.mark.parametrize("shown", ["attributes"], indirect=True)
def test_attributes_are_chosen_or_as_frequent_as_in_training(shown: Shown) -> None:
    drawn = [tuple(np.flatnonzero(shown.draw(seed)["labels"])) for seed in range(300)]
    shares = {columns: drawn.count(columns) / 300 for columns in set(drawn)}
    assert shares.keys() == {(), (0,), (0, 2), (1, 2)}
    assert shares[()] == pytest.approx(0.4, abs=0.1)
    shown.page.check(".attribute[value='1']")
    shown.wait(2)
    assert not shown.page.is_checked("#as-trained")
    shown.check(range(12), labels=[0, 1, 0])
    shown.page.check("#as-trained")
    shown.wait(3)
    assert not shown.page.is_checked(".attribute[value='1']")
    shown.check(range(12))


@pytest.mark.parametrize("shown", ["class"], indirect=True)
def test_a_class_is_chosen_from_a_list(shown: Shown) -> None:
    shown.page.select_option("#class", label="Male")
    shown.wait(2)
    shown.check(range(12), labels=[0, 1])


@pytest.mark.parametrize("shown", ["plain"], indirect=True)
def test_it_works_by_keyboard_and_on_a_phone(shown: Shown) -> None:
    page = shown.page
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    reached = []
    page.focus("body")
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert reached[-5:] == ["seed", "count", "truncation", "next", "face"]
    page.focus("#next")
    page.keyboard.press("Enter")
    shown.wait(2)
    shown.check(range(12, 24))
    page.focus(".face")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "tiny-12.png"


@pytest.mark.parametrize("shown", ["plain"], indirect=True)
def test_the_card_is_shown_formatted_in_the_page(shown: Shown, exports: dict[str, ExportedFolder]) -> None:
    page = shown.page
    page.click("#open-card")
    page.wait_for_selector("dialog[open] h3")
    text = page.inner_text("#card-text")
    assert text.startswith("tiny: a face generator")  # and not with front matter
    assert "16×16 pixels" in text  # in UTF-8, which http.server does not name
    assert "**" not in text
    assert "| " not in text
    assert "```" not in text
    card = (exports["plain"].path / "README.md").read_text(encoding="utf-8")
    code = [part.split("\n", 1)[1].strip("\n") for part in card.split("```")[1::2]]
    shown_code = page.evaluate("[...document.querySelectorAll('#card-text pre code')].map((one) => one.textContent)")
    assert shown_code[: len(code)] == code
    assert page.inner_text("#card-text th >> nth=0") == "File"
    assert "samples.png" in page.evaluate("[...document.querySelectorAll('td code')].map((one) => one.textContent)")
    page.wait_for_function("document.querySelector('#card-text img').naturalWidth > 0")
    targets = page.evaluate(
        "[...document.querySelectorAll('#card-text a[href^=\"#\"]')].map((one) => one.hash.slice(1))"
    )
    assert targets
    assert all(page.query_selector(f"#card-text [id='{target}']") for target in targets)
    page.keyboard.press("Escape")
    assert page.query_selector("dialog[open]") is None
    assert page.evaluate("document.activeElement.id") == "open-card"


HOSTILE = """# A <img src=x onerror="window.ran = 1"> title

<script>window.ran = 1</script>

[a link](javascript:window.ran=1) and ![a picture](https://example.invalid/x.png)

- one
  goes *on*
- two `a_b*c*d`

| A\\|B | C |
|---|---:|
| **x** | 1 |
<details><summary>More</summary>
inside
</details>

```
never closed <b>
"""


@pytest.mark.parametrize("shown", ["plain"], indirect=True)
def test_nothing_in_a_card_runs_or_is_loaded_from_elsewhere(shown: Shown) -> None:
    page = shown.page
    page.route("**/README.md", lambda route: route.fulfill(body=HOSTILE.encode(), content_type="text/plain"))
    page.click("#open-card")
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("window.ran") is None
    assert page.query_selector("#card-text :is(img, script, b)") is None
    assert page.query_selector("#card-text a").get_attribute("href") is None
    assert page.evaluate("[...document.querySelectorAll('#card-text li')].map((one) => one.textContent)") == [
        "one goes on",
        "two a_b*c*d",
    ]
    cells = page.evaluate("[...document.querySelectorAll('#card-text :is(th, td)')].map((one) => one.textContent)")
    assert cells == ["A|B", "C", "x", "1"]
    assert page.text_content("#card-text details p") == "inside"
    assert page.text_content("#card-text > pre") == "never closed <b>\n"


def test_opened_as_a_file_it_says_how_to_serve_it(exports: dict[str, ExportedFolder], browser: Any) -> None:
    page = browser.new_page()
    page.goto((exports["plain"].path / "index.html").as_uri())
    page.wait_for_selector("#status.error")
    assert "python -m http.server --bind 127.0.0.1" in page.inner_text("#status")
    page.close()
