import json
from pathlib import Path
from typing import Any

import pytest
from stored import FILE, stored_evaluation

from celeba_gan.datasets.reports import DocumentDataset
from celeba_gan.evaluation.documents import Evaluation
from celeba_gan.evaluation.metrics.registry import METRICS, NUMBERS, read_name
from celeba_gan.foundation.documents import DocumentError


def test_a_file_of_the_first_format_is_read_and_written_again() -> None:
    evaluation = Evaluation.read(FILE)
    assert evaluation.attributes is not None
    assert evaluation.attributes.requested is not None
    assert evaluation.attributes.requested["Male"].having == 0
    assert evaluation.comparison is not None
    assert evaluation.comparison.measured is not None
    assert evaluation.to_json() == {"format_version": 1, **stored_evaluation()}
    assert Evaluation.from_json(evaluation.to_json(), "here") == evaluation


def test_the_dataset_keeps_the_document(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "evaluation.json"
    dataset = DocumentDataset(str(file), "celeba_gan.evaluation.documents.Evaluation")
    assert not dataset.exists()
    evaluation = Evaluation.read(FILE)
    dataset.save(evaluation)
    assert dataset.load() == evaluation
    assert json.loads(file.read_text()) == json.loads(dataset.preview()) == evaluation.to_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format version 2 of the evaluation"),
        ({"metrics": {"swd": float("nan")}}, "metrics.swd: Input should be a finite number"),
        ({"metrics": None}, "not a valid evaluation"),
    ],
)
def test_what_is_no_evaluation_of_this_format_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        Evaluation.from_json(stored_evaluation() | changes, "here")


def test_every_number_of_an_evaluation_is_described() -> None:
    evaluation = Evaluation.read(FILE)
    names = [*evaluation.metrics, "inception_score_inception"]
    for name in names:
        number = read_name(name).number
        assert number.name in NUMBERS, name
        assert number.meaning.endswith("."), name
    found = {read_name(name).number.name for name in names}
    assert found == set(NUMBERS)  # and nothing is described that is never measured
    assert len(NUMBERS) == sum(len(metric.numbers) for metric in METRICS)
