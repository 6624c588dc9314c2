from typing import Any

import numpy as np
import pytest
from example_evaluation import example, read_attributes

from celeba_gan.reporting.evaluation import charts


def plot_attribute_shares(attributes: dict[str, Any] | None) -> Any:
    return charts.plot_attribute_shares(read_attributes(attributes))


def drawn(figure: Any) -> tuple[dict[tuple[str, str], float], list[str], dict[str, float]]:
    """Points by attribute and trace, the attributes from top to bottom, and the bars' half-widths."""
    points, order, bars = {}, [], {}
    for axis in ("y", "y2"):
        if f"{axis[0]}axis{axis[1:]}" not in figure.layout.to_plotly_json():
            continue
        names = figure.layout[f"yaxis{axis[1:]}"].ticktext
        order.extend(names)
        for trace in figure.data:
            if trace.yaxis == axis and trace.mode == "markers":
                for place, (x, y) in enumerate(zip(trace.x, trace.y, strict=True)):
                    points[names[y], trace.name] = x
                    if trace.error_x.array is not None:
                        bars[names[y]] = trace.error_x.array[place]
    return points, order, bars


def test_shares_and_intervals_are_drawn_and_the_furthest_off_stands_first() -> None:
    attributes = example()["attributes"]
    points, order, bars = drawn(plot_attribute_shares(attributes))
    assert order == ["Smiling", "Eyeglasses", "Wearing Hat", "Male"]
    assert points["Smiling", "more frequent among samples"] == pytest.approx(56)
    assert points["Eyeglasses", "rarer among samples"] == pytest.approx(1.2)
    assert points["Male", "about as frequent"] == pytest.approx(42)
    for name in attributes["names"]:
        assert points[name.replace("_", " "), "real images"] == pytest.approx(100 * attributes["reals"][name])
        assert bars[name.replace("_", " ")] == pytest.approx(100 * attributes["errors"][name])


def test_the_title_counts_what_is_off() -> None:
    title = plot_attribute_shares(example()["attributes"]).layout.title.text
    assert (
        title
        == "Of 4 attributes 1 seems rarer among samples than among real images, 1 more frequent; 2 of them clearly"
    )
    attributes = example()["attributes"] | {"errors": dict.fromkeys(example()["attributes"]["names"], 0.05)}
    title = plot_attribute_shares(attributes).layout.title.text
    assert title.endswith("1 seems rarer among samples than among real images, 1 more frequent; none of them clearly")


def many(count: int) -> dict[str, Any]:
    names = [f"attribute_{number}" for number in range(count)]
    random = np.random.default_rng(0)
    samples, reals = random.random((2, count))
    return {
        "names": names,
        "samples": dict(zip(names, samples.tolist(), strict=True)),
        "reals": dict(zip(names, reals.tolist(), strict=True)),
        "errors": dict.fromkeys(names, 0.02),
        "classifier": {},
        "asked": None,
    }


@pytest.mark.parametrize(("count", "rows", "columns"), [(12, 12, 1), (13, 13, 2), (40, 40, 2), (60, 40, 2)])
def test_many_attributes_stand_in_two_columns_and_more_than_forty_are_cut(count: int, rows: int, columns: int) -> None:
    attributes = many(count)
    figure = plot_attribute_shares(attributes)
    _, order, _ = drawn(figure)
    off = {name: abs(attributes["samples"][name] - attributes["reals"][name]) for name in attributes["names"]}
    assert order == [name.replace("_", " ") for name in sorted(off, key=lambda name: -off[name])[:rows]]
    assert len({trace.xaxis for trace in figure.data}) == columns
    assert ("the 40 furthest off" in figure.layout.title.text) is (count > 40)
    legend = [trace.name for trace in figure.data if trace.name and trace.showlegend]
    assert len(legend) == len(set(legend))


def test_nothing_is_cut_off_at_the_axes() -> None:
    figure = plot_attribute_shares(many(40))
    for trace in figure.data:
        left, right = figure.layout["xaxis2" if trace.xaxis == "x2" else "xaxis"].range
        assert all(left < x < right for x in trace.x if x is not None)


def test_names_are_text_and_nothing_is_nan() -> None:
    attributes = many(2)
    attributes["names"][0] = name = "<b>x</b> & y"
    for key in ("samples", "reals", "errors"):
        attributes[key][name] = 0.0
    figure = plot_attribute_shares(attributes)
    assert "&lt;b>x&lt;/b> &amp; y" in drawn(figure)[1]
    assert "<b>" not in str(figure.to_plotly_json())
    assert "NaN" not in figure.to_json()


def test_without_a_classifier_the_title_says_so() -> None:
    for nothing in (None, many(0)):
        figure = plot_attribute_shares(nothing)
        assert not figure.data
        assert "No attribute classifier" in figure.layout.title.text
