"""The page in a browser, as a person uses it."""

import io
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from celeba_gan.explorer import faces
from celeba_gan.explorer.models import LoadedModel, Models
from celeba_gan.explorer.png import read_recipe
from celeba_gan.explorer.recipe import Recipe
from celeba_gan.explorer.server import serve

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium"),
]
IN_PAGE = "data:image/png;base64,"


@pytest.fixture(scope="module")
def address(project: Path) -> Iterator[str]:
    models = Models(project)
    models.refresh()
    with serve(models, "plain") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@dataclass
class Shown:
    """An open page, and what it has asked for and complained about."""

    page: Any
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def source(self) -> str:
        return str(self.page.locator("#face").get_attribute("src"))

    def recipe(self) -> Recipe:
        """Of the shown face, from the picture itself."""
        return read_recipe(self.png())

    def png(self) -> bytes:
        import base64

        return base64.b64decode(self.source.removeprefix(IN_PAGE))

    def pixels(self) -> NDArray[np.uint8]:
        return np.asarray(Image.open(io.BytesIO(self.png())))

    def until(self, change: str, value: Any = None) -> None:
        """Waits for a condition on `src`, the source of the face's picture, and `value`."""
        self.page.wait_for_function(
            f"value => {{ const src = document.querySelector('#face')?.src; return {change}; }}",
            arg=value,
            timeout=60_000,
        )

    def changed(self, before: str) -> None:
        self.until("src && src !== value", before)

    def slide(self, selector: str, value: float) -> None:
        """Moves the first slider that a selector finds."""
        before = self.source
        slider = self.page.locator(f"{selector} input[type=range]").first
        slider.evaluate(
            "(input, value) => { input.value = value; input.dispatchEvent(new Event('input', { bubbles: true })); }",
            value,
        )
        self.changed(before)

    def strength(self, place: int) -> float:
        return float(self.page.locator(".directions input[type=range]").nth(place).input_value())

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def toast(self) -> str:
        found = self.page.locator(".toast-body").first
        found.wait_for(timeout=60_000)
        return str(found.inner_text())


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Any]:
    contexts = []

    def open_(width: int = 1280, height: int = 900, **more: Any) -> Shown:
        context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        shown = Shown(page)
        page.on("request", lambda request: shown.requests.append(request.url))
        page.on("console", lambda message: shown.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: shown.errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#face")
        page.wait_for_timeout(500)  # the list of models is refreshed
        return shown

    yield open_
    for context in contexts:
        context.close()


def test_seed_sliders_and_grid_show_the_generator_s_faces(open_page: Any, plain: LoadedModel) -> None:
    shown: Shown = open_page()
    np.testing.assert_array_equal(shown.pixels(), faces.picture(plain, faces.new_recipe(plain)))
    before = shown.source
    shown.page.locator("#seed input").fill("42")
    shown.changed(before)
    shown.slide("#truncation", 0.5)
    shown.slide(".directions", 2)
    recipe = shown.recipe()
    assert plain.directions is not None
    first = plain.directions.directions[0].name
    assert recipe == faces.new_recipe(plain, seed=42, truncation=0.5, moves={first: 2.0})
    np.testing.assert_array_equal(shown.pixels(), faces.picture(plain, recipe))

    shown.page.get_by_text("Grid of 12").click()
    shown.page.wait_for_selector("#grid")
    buttons = shown.page.locator("#grid button")
    assert buttons.all_inner_texts() == [str(number) for number in range(12)]
    buttons.nth(7).click()
    shown.page.wait_for_selector("#face")
    assert shown.recipe() == recipe.model_copy(update={"number": 7})
    assert shown.page.locator("#number input").input_value() == "7"

    before = shown.source
    shown.press("Reset")
    shown.changed(before)
    assert shown.recipe() == faces.new_recipe(plain, seed=42, number=7)
    assert shown.strength(0) == 0
    assert shown.errors == []


def test_a_ticked_label_applies_at_once_and_unfixed_labels_are_not_ticked(open_page: Any, models: Models) -> None:
    shown: Shown = open_page()
    model = models.load("attributes")
    before = shown.source
    shown.page.locator("#model input").click()
    shown.page.get_by_role("option", name="attributes").click()
    shown.changed(before)
    fixed, boxes = shown.page.locator("#is-labelled input"), shown.page.locator("#labels input")
    assert not fixed.is_checked()
    before = shown.source
    boxes.nth(0).check()
    shown.changed(before)
    assert shown.recipe() == faces.new_recipe(model, labels=("Male",))
    assert fixed.is_checked()
    before = shown.source
    boxes.nth(1).check()
    shown.changed(before)
    assert shown.recipe().labels == ("Male", "Smiling")
    before = shown.source
    fixed.uncheck()
    shown.changed(before)
    assert shown.recipe() == faces.new_recipe(model)
    assert shown.page.locator("#labels input:checked").count() == 0
    assert shown.errors == []


def test_sliders_of_directions_show_how_far_they_go(open_page: Any) -> None:
    shown: Shown = open_page()
    ends = shown.page.locator(".directions .min_value:visible, .directions .max_value:visible").all_inner_texts()
    assert len(ends) == 2 * shown.page.locator(".directions input[type=range]:visible").count() > 0
    assert set(ends) == {"-3", "3"}


def test_two_kept_faces_are_blended(open_page: Any, plain: LoadedModel) -> None:
    shown: Shown = open_page()
    first = shown.recipe()
    shown.press("Keep as A")
    before = shown.source
    shown.press("Next →")
    shown.changed(before)
    second = shown.recipe()
    shown.tab("Blend")
    shown.page.locator(".pair img").wait_for()  # A is kept
    shown.press("Keep as B")
    shown.page.wait_for_selector("#strip")
    assert shown.page.locator("#strip button").count() == 7
    fraction = shown.page.locator("#fraction input[type=range]")
    assert (fraction.input_value(), shown.recipe()) == ("1", second)  # the picture is B, and so is the slider
    shown.slide("#fraction", 0.25)
    assert shown.recipe() == faces.between(plain, first, second, 0.25)
    before = shown.source
    shown.page.locator("#strip button").nth(3).click()
    shown.changed(before)
    assert shown.recipe() == faces.between(plain, first, second, 0.5)
    shown.tab("Adjust")
    shown.slide(".directions", -1)  # moves the blend, and draws no other face
    assert shown.recipe().latent == faces.between(plain, first, second, 0.5).latent
    shown.tab("Blend")
    assert fraction.input_value() == "0.5"
    shown.press("Keep as A")
    shown.page.wait_for_function("document.querySelector('#fraction input[type=range]').value === '0'")
    assert shown.errors == []


def test_a_photograph_is_projected_and_its_neighbours_are_found(
    open_page: Any, plain: LoadedModel, tmp_path: Path
) -> None:
    shown: Shown = open_page()
    image = plain.generator.sample(1, seed=99)[0]
    Image.fromarray(image).resize((160, 160), Image.Resampling.NEAREST).save(tmp_path / "photograph.png")
    shown.tab("Photo")
    before = shown.source
    shown.page.locator("#photograph input[type=file]").set_input_files(tmp_path / "photograph.png")
    shown.page.wait_for_selector("#projected", timeout=60_000)
    shown.changed(before)
    rmse = np.sqrt(np.mean((shown.pixels().astype(float) - image) ** 2))
    assert float(shown.page.locator("#error").inner_text()) == pytest.approx(rmse, abs=0.06)
    assert shown.recipe().source == "projected"
    assert shown.page.locator("#projected img").count() == 2
    uploads = Path(tempfile.gettempdir()).glob("celeba_gan-explorer-*")
    assert [file for folder in uploads for file in folder.rglob("photograph.png")] == []  # it was deleted

    shown.tab("Nearest")
    shown.press("Find the nearest training images")
    shown.page.wait_for_selector("#neighbours", timeout=60_000)
    assert shown.page.locator("#neighbours img").count() == 8
    assert shown.errors == []


def test_a_downloaded_face_restores_the_sliders(open_page: Any, plain: LoadedModel, tmp_path: Path) -> None:
    shown: Shown = open_page()
    before = shown.source
    shown.press("Next →")
    shown.changed(before)
    shown.slide(".directions", 1.5)
    shown.slide("#truncation", 0.65)
    recipe, pixels = shown.recipe(), shown.pixels()
    with shown.page.expect_download() as download:
        shown.page.get_by_role("button", name="Download").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.name == "plain-0-1.png"
    assert read_recipe(saved.read_bytes()) == recipe

    other: Shown = open_page()
    other.tab("Open")
    before = other.source
    drop(other.page, "#saved", saved)
    other.changed(before)
    assert other.recipe() == recipe
    np.testing.assert_array_equal(other.pixels(), pixels)
    other.tab("Adjust")
    assert other.strength(0) == 1.5
    assert other.page.locator("#truncation input[type=range]").input_value() == "0.65"
    assert other.page.locator("#number input").input_value() == "1"
    other.slide(".directions", 0.5)  # and they go on from there
    assert other.recipe().number == 1
    assert other.errors == []


def drop(page: Any, selector: str, file: Path) -> None:
    """Drops a file, as from a file manager."""
    transfer = page.evaluate_handle(
        """([bytes, name]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
            return data;
        }""",
        [list(file.read_bytes()), file.name],
    )
    page.locator(f"{selector} button").first.dispatch_event("drop", {"dataTransfer": transfer})


def test_another_model_brings_its_own_controls(open_page: Any, models: Models) -> None:
    shown: Shown = open_page()
    assert shown.page.locator(".directions input[type=range]:visible").count() > 0
    for name in ("attributes", "class"):
        before = shown.source
        shown.page.locator("#model input").click()
        shown.page.get_by_role("option", name=name).click()
        shown.changed(before)
        model = models.load(name)
        assert shown.recipe() == faces.new_recipe(model)
        assert shown.page.locator(".directions input[type=range]:visible").count() == 0
        shown.page.get_by_text("There are no directions for this model yet").wait_for()
    before = shown.source
    shown.page.locator("#is-labelled input").check()
    shown.until("src")
    shown.page.wait_for_timeout(300)  # the same class may have been drawn: then the picture stays
    assert shown.recipe().labels == ("cat",)
    before = shown.source
    shown.page.locator("#label input").click()
    shown.page.get_by_role("option", name="Dog").click()
    shown.changed(before)
    assert shown.recipe().labels == ("dog",)
    assert shown.errors == []


@pytest.mark.parametrize(
    ("tab", "box", "content", "reason"),
    [
        ("Photo", "#photograph", b"no photograph", "not an image"),
        ("Photo", "#photograph", b"\x89PNG\r\n\x1a\n broken", "cannot be used"),
        ("Open", "#saved", b"\x89PNG\r\n\x1a\n broken", "damaged PNG"),
    ],
)
def test_a_wrong_file_is_refused_in_the_page(
    open_page: Any, tmp_path: Path, tab: str, box: str, content: bytes, reason: str
) -> None:
    shown: Shown = open_page()
    before = shown.source
    (tmp_path / "wrong.png").write_bytes(content)
    shown.tab(tab)
    shown.page.locator(f"{box} input[type=file]").set_input_files(tmp_path / "wrong.png")
    assert reason in shown.toast()
    assert "Traceback" not in shown.page.content()
    assert shown.source == before
    shown.page.locator(f"{box} input[type=file]").wait_for(state="attached")  # the box takes another file
    shown.tab("Adjust")  # and nothing lies over the sliders
    slider = shown.page.locator(".directions input[type=range]").first
    slider.click(position={"x": 20, "y": 10})
    shown.changed(before)
    assert shown.strength(0) < -2


def test_a_keyboard_is_enough(open_page: Any, plain: LoadedModel) -> None:
    """Every step by Tab, arrows, Space and Enter; no mouse."""
    shown: Shown = open_page()
    page = shown.page

    def tab_to(selector: str) -> None:
        page.evaluate("document.activeElement.blur()")
        for _ in range(200):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    tab_to("#truncation input[type=range]")
    before = shown.source
    page.keyboard.press("ArrowLeft")
    shown.changed(before)
    assert shown.recipe().truncation == pytest.approx(0.99)
    tab_to(".directions input[type=range]")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"  # where one is can be seen
    before = shown.source
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    shown.changed(before)
    page.wait_for_timeout(500)
    assert [*shown.recipe().moves.values()] == [pytest.approx(0.15)]
    tab_to("#keep button")
    page.keyboard.press("Enter")
    tab_to("#tools [role=tab]")
    tab_to("#view input[value='Grid of 12']")
    page.keyboard.press("Space")
    page.wait_for_selector("#grid")
    tab_to("#model input")
    page.keyboard.press("Tab")  # leaving the box of models changes nothing
    tab_to("#grid button[data-number='4']")
    page.keyboard.press("Space")
    page.wait_for_selector("#face")
    assert shown.recipe().number == 4
    tab_to("a.save")
    with page.expect_download():
        page.keyboard.press("Enter")
    assert shown.errors == []


def test_a_phone_needs_no_sideways_scrolling_and_keeps_the_face_in_sight(open_page: Any) -> None:
    shown: Shown = open_page(390, 844, is_mobile=True, has_touch=True)
    page = shown.page
    for tab in ("Adjust", "Blend", "Photo", "Nearest", "Open"):
        shown.tab(tab)
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") == 390, tab
    shown.tab("Adjust")
    page.get_by_text("Grid of 12").click()
    page.wait_for_selector("#grid")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_text("One face").click()
    page.wait_for_selector("#face")
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_timeout(200)
    box = page.locator("#face").bounding_box()
    assert 0 <= box["y"] < 300


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_in_dark(open_page: Any, scheme: str) -> None:
    """Contrast of at least 4.5 to 1 (WCAG 2.2, level AA) between text and what is behind it."""
    shown: Shown = open_page(color_scheme=scheme)
    found = shown.page.evaluate(
        """() => {
            const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
            const behind = (element) => {
                for (let here = element; here; here = here.parentElement) {
                    const colour = rgb(getComputedStyle(here).backgroundColor);
                    if (colour.length < 4 || colour[3] === 1) return colour;
                }
                return [255, 255, 255];
            };
            const kinds = "h1, p, label, button, a, small, b, .info-text, [type=number], [role=combobox], span";
            const texts = [...document.querySelectorAll(kinds)];
            return texts.filter((one) => one.offsetParent && (one.innerText || one.value || "").trim()).map((one) =>
                [one.tagName + " " + (one.innerText || one.value), rgb(getComputedStyle(one).color), behind(one)]);
        }"""
    )
    assert len(found) > 20

    def luminance(colour: list[float]) -> float:
        parts = np.array(colour[:3]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for text, colour, behind in found:
        darker, lighter = sorted([luminance(colour), luminance(behind)])
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (text, colour, behind)
    ground = luminance(found[0][2])
    assert ground < 0.1 if scheme == "dark" else ground > 0.8


def test_nothing_is_loaded_from_elsewhere(open_page: Any) -> None:
    shown: Shown = open_page()
    for tab in ("Blend", "Photo", "Nearest", "Open", "Adjust"):
        shown.tab(tab)
    shown.page.wait_for_timeout(500)
    strangers = [url for url in shown.requests if not re.match(r"(http://127\.0\.0\.1:\d+/|data:|blob:)", url)]
    assert strangers == []
    assert len(shown.requests) > 5
    assert shown.errors == []  # nor was anything stopped by the policy
    assert shown.page.locator("footer:visible").count() == 0
