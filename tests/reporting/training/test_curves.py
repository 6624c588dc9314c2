import pandas as pd

from celeba_gan.reporting.training.curves import plot_curves


def test_every_known_column_becomes_a_curve_over_kimg() -> None:
    rows = pd.DataFrame(
        {"images": [1000.0, 2000.0], "discriminator_loss": [1.0, 2.0], "score_real": [3.0, 4.0], "unknown": [0.0, 0.0]}
    )
    figure = plot_curves(rows)
    assert {curve.name: (list(curve.x), list(curve.y)) for curve in figure.data} == {
        "discriminator loss": ([1.0, 2.0], [1.0, 2.0]),
        "score real": ([1.0, 2.0], [3.0, 4.0]),
    }


def test_no_rows_make_an_empty_figure() -> None:
    assert len(plot_curves(pd.DataFrame()).data) == 0


def test_a_distance_is_drawn_where_it_was_measured_and_speed_fills_an_empty_panel() -> None:
    rows = pd.DataFrame(
        {"images": [1000.0, 2000.0, 3000.0], "penalty": 1.0, "generator_loss": 1.0, "score_real": 1.0}
        | {"images_per_second": 9.0, "swd_absolute_valid": [5.0, float("nan"), 3.0]}
    )
    curves = {curve.name: curve for curve in plot_curves(rows).data}
    assert (list(curves["swd absolute valid"].x), list(curves["swd absolute valid"].y)) == ([1.0, 3.0], [5.0, 3.0])
    assert curves["swd absolute valid"].mode == "lines+markers"
    assert "images per second" not in curves
    assert "images per second" in {curve.name for curve in plot_curves(rows.drop(columns="swd_absolute_valid")).data}


def test_all_panels_show_the_same_span_of_training() -> None:
    rows = pd.DataFrame(
        {"images": [1000.0], "penalty": 1.0, "generator_loss": 1.0, "score_real": 1.0, "swd_absolute_valid": 5.0}
    )
    layout = plot_curves(rows).layout
    assert [layout[f"xaxis{number}"].matches for number in ("2", "3", "4")] == ["x", "x", "x"]
