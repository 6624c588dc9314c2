"""Page, comparison, promotion and terminal read directions and words from the metrics alone."""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from example_evaluation import example, read

import celeba_gan
from celeba_gan.evaluation.compare import compare_models
from celeba_gan.evaluation.metrics.registry import METRICS, NUMBERS
from celeba_gan.hooks.summary import _measured
from celeba_gan.reporting.evaluation.page import render_report
from celeba_gan.reporting.evaluation.tables import make_row
from celeba_gan.tracking.promotion import Promotion, PromotionError

SOURCE = Path(celeba_gan.__file__).parent


def test_a_changed_description_is_seen_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = replace(
        NUMBERS["frechet"], direction="more", label="Resemblance", terminal=("Resemblance", "of samples to reals")
    )
    one, two = example(), example()
    two["metrics"]["frechet_attributes"] += 50
    two["intervals"]["frechet_attributes"] = {"low": 68.0, "high": 69.0, "method": "m"}

    def winner() -> str:
        rows = compare_models("a", read(one), "b", read(two)).rows
        return next(row.better for row in rows if row.metric == "frechet_attributes")

    assert winner() == "model"
    monkeypatch.setitem(NUMBERS, "frechet", other)
    assert winner() == "against"
    assert make_row(read(one), "frechet_attributes").better == "more"
    assert "Resemblance" in render_report(read(one), title="A page")
    (tmp_path / "evaluation.json").write_text(json.dumps(one))
    assert ("Resemblance", "18.2 (16.9 to 19.1; real images 3.1): of samples to reals; more is better") in list(
        _measured(tmp_path / "evaluation.json")
    )
    monkeypatch.setitem(NUMBERS, "frechet", replace(other, direction=None))
    params = {"promote": True, "promote_metric": "frechet_attributes", "promote_as": "faces"}
    with pytest.raises(PromotionError, match="ranks no models"):
        Promotion.read({f"evaluate.{name}": value for name, value in params.items()}, {})


def test_no_other_module_has_a_table_of_metrics_or_directions() -> None:
    """A dictionary of words by metrics' names, or the word for a direction, outside the metrics' own files."""
    names = set(NUMBERS) - {"score_real", "score_fake"}  # the rows of a training have these names, too
    found = set()
    for path in SOURCE.rglob("*.py"):
        if path.parent == SOURCE / "evaluation" / "metrics":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                words = [
                    key.value
                    for key, value in zip(node.keys, node.values, strict=True)
                    if isinstance(key, ast.Constant) and isinstance(value, ast.Constant | ast.Tuple)
                ]
                is_table = len(names.intersection(words)) > 1
            else:
                is_table = isinstance(node, ast.Constant) and node.value in ("less", "more")
            if is_table:
                found.add(str(path.relative_to(SOURCE)))
    # The decision itself, and the words of the sentence on how alike samples are.
    assert found == {"evaluation/compare.py", "reporting/evaluation/verdict.py"}


def test_names_and_order_are_sound() -> None:
    assert len(NUMBERS) == sum(len(metric.numbers) for metric in METRICS)
    for number in NUMBERS.values():
        assert re.fullmatch(r"[a-z0-9_]+", number.name)
        assert number.label
        assert number.meaning.endswith(".")


def test_the_page_on_metrics_names_every_one() -> None:
    text = (SOURCE.parents[1] / "docs/explanations/metrics.md").read_text(encoding="utf-8")
    for number in NUMBERS.values():
        if not number.minor:
            assert re.search(rf"\b{number.name}\b", text), number.name
