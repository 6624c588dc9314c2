import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from celeba_gan.reporting.data.charts import plot_attributes, plot_sizes
from celeba_gan.reporting.data.data_report import AttributeShares, DataReport

STORED = Path(__file__).with_name("stored") / "data_report_v1.json"


def row(train, valid, test, published=None):
    images = {"train": train, "valid": valid, "test": test, "all": train + valid + test}
    share = {split: count / 1000 for split, count in images.items()}
    return AttributeShares(images=images, share=share, published=published)


def report(attributes, labels=None, kind="celeba"):
    stored = DataReport.read(STORED)
    source = stored.source.model_copy(update={"kind": kind})
    return stored.model_copy(update={"attributes": attributes, "labels": labels or {}, "source": source})


def drawn(figure):
    """What people see: {(row's text, trace): x}, the rows from the top of the first column to the end of the last."""
    layout = figure.to_plotly_json()["layout"]
    points, order = {}, []
    for axis in ("yaxis", "yaxis2"):
        if axis in layout:
            assert layout[axis]["range"][0] > layout[axis]["range"][1]  # downwards
            order += layout[axis]["ticktext"]
    for trace in figure.data:
        axis = layout["yaxis2" if trace.yaxis == "y2" else "yaxis"]
        for x, y in zip(trace.x, trace.y, strict=True):
            points[axis["ticktext"][y], trace.name] = x
    return points, order


def test_forty_attributes_are_drawn_in_two_columns_the_most_frequent_first():
    random = np.random.default_rng(0)
    rows = {f"Attribute_{number:02d}": row(*random.integers(0, 300, 3).tolist(), 0.2) for number in range(40)}
    figure = plot_attributes(report(rows))
    points, order = drawn(figure)
    expected = sorted(rows, key=lambda name: -rows[name].share["all"])
    assert order == [name.replace("_", " ") for name in expected]
    for name, values in rows.items():
        for split in ("train", "valid", "test"):
            assert points[name.replace("_", " "), split] == pytest.approx(100 * values.share[split])
        assert points[name.replace("_", " "), "published for CelebA"] == 20
    for trace in figure.data:  # nothing is cut off
        axis = figure.layout["xaxis2" if trace.xaxis == "x2" else "xaxis"]
        assert axis.range[0] == 0
        assert max(trace.x) < axis.range[1]
    legend = [trace.name for trace in figure.data if trace.showlegend]
    assert legend == ["train", "valid", "test", "published for CelebA"]


def test_hovering_tells_the_count():
    figure = plot_attributes(report({"Male": row(417, 40, 30)}))
    assert figure.data[0].customdata[0] == "417 images"
    assert "%{x:.1f}% (%{customdata})" in figure.data[0].hovertemplate


def test_drawn_portraits_are_not_called_celeba():
    points, _ = drawn(plot_attributes(report({"Male": row(417, 40, 30, 0.4)}, kind="synthetic")))
    assert ("Male", "real CelebA, for comparison") in points
    points, _ = drawn(plot_attributes(report({"Male": row(417, 40, 30)}, kind="folder")))
    assert {name for _, name in points} == {"train", "valid", "test"}


def test_names_of_folders_are_text_not_markup_nor_numbers():
    labels = {"10": row(3, 2, 1), "<b>x</b> & y": row(2, 1, 1), "n" * 40: row(1, 1, 0), "n" * 41: row(1, 0, 0)}
    points, order = drawn(plot_attributes(report({}, labels, "folder")))
    assert order == ["10", "&lt;b>x&lt;/b> &amp; y", "n" * 27 + "...", "n" * 27 + "..."]
    assert points["10", "train"] == pytest.approx(0.3)


def test_a_split_without_images_has_no_marker_and_no_nan():
    empty = row(5, 0, 0)
    empty.share["test"] = None
    figure = plot_attributes(report({"Male": empty, "Never": row(0, 0, 0)}))
    assert drawn(figure)[0]["Male", "test"] is None
    assert "NaN" not in figure.to_json()


def test_what_nobody_has_and_what_nothing_is_known_of_can_be_drawn():
    assert plot_attributes(report({"Never": row(0, 0, 0)})).data
    assert "neither attributes nor labels" in plot_attributes(report({})).layout.title.text


def test_more_attributes_than_are_readable_are_cut_and_the_title_says_so():
    figure = plot_attributes(report({f"a{number}": row(number, 0, 0) for number in range(100)}))
    assert len(drawn(figure)[1]) == 60
    assert "60 most frequent of 100" in figure.layout.title.text


def test_sizes_of_a_few_kinds_are_disks_by_number():
    index = pd.DataFrame({"width": [178] * 9 + [89] * 3, "height": [218] * 9 + [109] * 3})
    figure = plot_sizes(index, 178)
    disks = figure.data[0]
    assert dict(zip(zip(disks.x, disks.y, strict=True), disks.customdata, strict=True)) == {(178, 218): 9, (89, 109): 3}
    assert disks.marker.sizemode == "area"
    assert "12 photographs of 2 sizes" in figure.layout.title.text
    assert "crop of 178" in figure.layout.title.text
    assert "crop" not in plot_sizes(index, "none").layout.title.text


def test_many_sizes_are_a_histogram_that_loses_none():
    random = np.random.default_rng(0)
    index = pd.DataFrame({"width": random.integers(20, 5000, 3000), "height": random.integers(30, 90, 3000)})
    heat = plot_sizes(index, "none").data[0]
    counts = np.array([[count or 0 for count in line] for line in heat.z])
    assert counts.sum() == 3000
    assert counts.shape == (len(heat.y) - 1, len(heat.x) - 1)
    for i, j in ((0, 0), (3, 20)):
        inside = index["height"].between(heat.y[i], heat.y[i + 1], inclusive="left")
        inside &= index["width"].between(heat.x[j], heat.x[j + 1], inclusive="left")
        assert counts[i, j] == inside.sum()
    assert "NaN" not in json.dumps(heat.to_plotly_json())


def test_photographs_of_one_width_and_many_heights_are_drawn():
    heat = plot_sizes(pd.DataFrame({"width": [100] * 70, "height": range(30, 100)}), "none").data[0]
    assert sum(count or 0 for line in heat.z for count in line) == 70


@pytest.mark.parametrize(("crop", "side"), [(178, 178), (108, 108), ("none", 178)])
def test_one_size_is_said_in_the_title_and_the_crop_drawn_in_its_middle(crop, side):
    figure = plot_sizes(pd.DataFrame({"width": [178] * 50, "height": [218] * 50}), crop)
    assert figure.layout.title.text == "All 50 photographs are 178x218"
    photograph, part = figure.data
    assert (max(photograph.x), max(photograph.y)) == (178, 218)
    assert max(part.x) - min(part.x) == max(part.y) - min(part.y) == side
    assert (max(part.x) + min(part.x), max(part.y) + min(part.y)) == (178, 218)
