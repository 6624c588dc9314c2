import base64
import json
import re
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from example_evaluation import example, nothing, read, read_attributes
from PIL import Image

from celeba_gan.reporting.evaluation import page as pages
from celeba_gan.reporting.evaluation.charts import plot_attribute_shares
from celeba_gan.reporting.training.curves import plot_curves
from html_page import Page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}"


def render_report(evaluation: dict[str, Any], **options: Any) -> str:
    return pages.render_report(read(evaluation), **options)


def pixels(height: int, width: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def curves() -> Any:
    return plot_curves(pd.DataFrame({"images": [1000.0, 2000.0], "generator_loss": [1.0, 0.5]}))


def whole(evaluation: dict[str, Any], **more: Any) -> str:
    chart = plot_attribute_shares(read_attributes(evaluation["attributes"]))
    options = {"curves": curves(), "attribute_chart": chart, "pictures": {"Grid": pixels(40, 40)}} | more
    return render_report(evaluation, title="A page", **options)


def test_every_number_every_sentence_and_the_protocol_are_on_the_page() -> None:
    page = Page(whole(example()))
    for text in ("Fréchet distance 18.2", "16.9 to 19.1", "Samples that lie among real images", "Memorised", "1.2 %"):
        assert text in page.text
    assert "features · attributes a3f0c4e2b91d77aa" in page.text
    assert "interval of frechet attributes bootstrap of 200" in page.text
    assert "images per side 5000" in page.text
    assert page.all("meta")[0] == {"charset": "utf-8"}
    assert len(page.all("h1")) == 1


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    text = render_report(example(), title="A page", pictures={"Grid": pixels(9, 9)})
    assert "plotly" not in text.lower()  # no figure, no library
    page = Page(text)
    assert not page.all("script")
    assert not page.all("link")
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert not re.search(r"https?://", text)
    assert "url(" not in text
    assert "@import" not in text


def test_plotly_is_inside_once_and_figures_come_back_whole() -> None:
    page = Page(whole(example()))
    kinds = [attributes.get("type") for attributes in page.all("script")]
    assert kinds == ["application/json", "application/json", None, None]
    assert not any("src" in attributes for attributes in page.all("script"))
    assert sum("plotly.js v" in script for script in page.scripts) == 1
    figures = [json.loads(script) for script in page.scripts if script.startswith("{")]
    assert [trace["name"] for trace in figures[1]["data"]] == ["generator loss"]
    assert figures[1]["data"][0]["y"] == [1.0, 0.5]
    boxes = [element["id"] for element in page.all("div") if element.get("class") == "chart"]
    assert boxes == ["chart-attributes", "chart-curves"]


def test_pictures_are_shown_in_their_order_pixel_for_pixel_with_words_for_the_blind() -> None:
    pictures = {"Second": pixels(30, 100), "First": pixels(400, 400), "<Third>": pixels(9, 9)}
    page = Page(whole(example(), pictures=pictures))
    images = page.all("img")
    for image, (title, expected) in zip(images, pictures.items(), strict=True):
        assert title in image["alt"]
        data = base64.b64decode(image["src"].split(",")[1])
        assert np.array_equal(np.asarray(Image.open(BytesIO(data))), expected)
    assert "pixelated" in images[2]["style"]
    assert "style" not in images[1]
    assert [title for title in ("Second", "First", "<Third>") if title in page.text] == list(pictures)


def poisoned() -> dict[str, Any]:
    evaluation = example()
    attributes = evaluation["attributes"]
    for key in ("samples", "reals", "errors", "classifier"):
        attributes[key][HOSTILE] = attributes[key]["Eyeglasses"]
    attributes["names"].append(HOSTILE)
    attributes["samples"][HOSTILE] = 0.9
    attributes["asked"] = {HOSTILE: {"accuracy": 0.9, "with": 0.8, "without": 1.0, "samples": 1234}}
    evaluation["metrics"] |= {HOSTILE: 1.0, f"frechet_{HOSTILE}": 2.0}
    evaluation["intervals"][HOSTILE] = {"low": 0.5, "high": 1.5, "method": HOSTILE}
    evaluation["protocol"] |= {"judge_network": HOSTILE, "features": {HOSTILE: HOSTILE}}
    row = {"model": 1.0, "against": 2.0, "low": -2.0, "high": -0.5, "better": "model"}
    evaluation["comparison"] = {
        "model": HOSTILE,
        "against": HOSTILE,
        "rows": [{"metric": name, **row} for name in (HOSTILE, f"frechet_{HOSTILE}")],
    }
    return evaluation


def test_text_from_outside_is_never_markup_or_script() -> None:
    clean, evaluation = example(), poisoned()
    clean["metrics"] |= {"a": 1.0, "frechet_mine": 2.0}
    hostile_curves = curves()
    hostile_curves.data[0].name = HOSTILE
    text = render_report(
        evaluation,
        title=HOSTILE,
        curves=hostile_curves,
        attribute_chart=plot_attribute_shares(read_attributes(evaluation["attributes"])),
        pictures={HOSTILE: pixels(9, 9)},
    )
    page = Page(text)
    assert [attributes.get("type") for attributes in page.all("script")] == [*["application/json"] * 2, None, None]
    assert len(page.all("img")) == 1
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
    figures = [json.loads(script) for script in page.scripts if script.startswith("{")]
    assert figures[1]["data"][0]["name"] == HOSTILE  # plotly is given what was there, and nothing else
    assert "<script" not in json.dumps(figures[0])  # which the chart of attributes has made safe for plotly's markup
    assert "{{ 7 * 7 }}" in page.text
    assert page.text.count(HOSTILE.replace("_", " ")) >= 12


def test_what_is_missing_is_said_and_no_box_is_empty() -> None:
    page = Page(render_report(nothing(), title="A page"))
    for words in (
        "These numbers do not show how good the generator is",
        "Fréchet and kernel distance, precision and density are missing",
        "evaluate.inception_weights=FILE",
        "Recall and coverage are missing",
        "The shares of memorised and repeated samples are missing. They need features",
        "No new classifier was trained",
        "AGE is missing",
        "The samples’ attributes are unknown",
        "No pictures were drawn",
        "Training curves are shown only",
    ):
        assert words in page.text
    for tag, attributes in page.elements:
        assert attributes.get("class") not in ("chart", "tile", "headlines", "gallery")
        assert tag != "table"


@pytest.mark.parametrize("name", sorted(example()["metrics"]))
def test_any_metric_may_be_absent(name: str) -> None:
    evaluation = example()
    for key in ("metrics", "intervals", "floor", "floor_train"):
        evaluation[key].pop(name, None)
    Page(render_report(evaluation, title="A page"))


def test_a_comparison_is_a_table_with_the_decided_rows_first() -> None:
    row = {"model": 1.0, "against": 2.0, "low": None, "high": None, "better": "neither"}
    rows = [
        {"metric": "swd", **row},
        {"metric": "recall_attributes", **row, "low": -0.1, "high": 0.2},
        {"metric": "frechet_attributes", **row, "low": -1.5, "high": -0.5, "better": "model"},
    ]
    evaluation = example() | {"comparison": {"model": "this one", "against": "that one", "rows": rows}}
    page = Page(render_report(evaluation, title="A page"))
    assert "Compared with that one" in page.text
    decided, unknown, open_ = (
        page.text.index(words) for words in ("−1.50 to −0.500 this one", "– unknown", "−10.0 to 20.0 points undecided")
    )
    assert decided < min(unknown, open_)
    assert "Compared with" not in Page(render_report(example(), title="A page")).text


def test_tables_have_headers_for_their_columns_and_rows() -> None:
    page = Page(whole(example()))
    scopes = [attributes.get("scope") for attributes in page.all("th")]
    assert set(scopes) == {"col", "row"}
    assert len(page.all("caption")) == len(page.all("table"))
    for attributes in page.all("svg"):
        assert attributes.get("aria-label") or attributes.get("aria-hidden")


def contrast(first: str, second: str) -> float:
    """Of two colours such as #1c1f24 (WCAG 2.1)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def test_text_can_be_read_in_both_themes() -> None:
    style = render_report(example(), title="A page")
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in style.split("prefers-color-scheme: dark"))
    assert set(light) == set(dark)
    for colours in (light, dark):
        for text in ("ink", "soft", "accent", "caution", "floor"):
            for ground in ("ground", "panel", "wash"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
