import pandas as pd

from celeba_gan.imaging.curves import plot_curves


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
