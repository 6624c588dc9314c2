"""What is said where a snapshot belongs to another run, and that its advice fits."""

from collections.abc import Callable
from typing import Any

import pytest

from celeba_gan.gan.runs.cards import ImagesCard
from celeba_gan.gan.runs.resume import TrainingError, check_same_run
from celeba_gan.gan.runs.snapshot import Snapshot

START = "--params experiment=NAME,train.init_from=demo"
IDENTITY: dict[str, Any] = {"batch_size": 8, "network": {"name": "dcgan"}, "latent": {"size": 64}}


@pytest.fixture
def refused(make_snapshot: Callable[..., Snapshot]) -> Callable[..., str]:
    """The message about a snapshot of `IDENTITY` where other settings and images are requested."""
    card = make_snapshot(1000).card.model_copy(update={"identity": IDENTITY})

    def check(identity: dict[str, Any] | None = None, repacked: tuple[str, ...] = (), **images: Any) -> str:
        same = {name: getattr(card, name) for name in ImagesCard.model_fields}
        with pytest.raises(TrainingError) as error:
            check_same_run(
                {**IDENTITY, **(identity or {})}, ImagesCard.model_validate(same | images), card, "demo", repacked
            )
        return str(error.value)

    check_same_run(IDENTITY, ImagesCard.model_validate({n: getattr(card, n) for n in ImagesCard.model_fields}), card)
    return check


def test_its_weights_are_offered_where_they_fit(refused: Callable[..., str]) -> None:
    for message in (
        refused({"batch_size": 16}),
        refused(data_digest="e" * 64),
        refused(repacked=("  images: 3 added",)),
    ):
        assert START in message
    for message in (refused({"network": {"name": "resnet"}}), refused({"latent": {"size": 8}}), refused(size=32)):
        assert "init_from" not in message
        assert "--params experiment=NAME" in message
        assert "train.resume=false" in message


def test_how_to_resume_it_depends_on_what_differs(refused: Callable[..., str]) -> None:
    values, again, kept = "give the values of the snapshot", "pack the images that it was trained on", "as they are"
    assert [text in refused({"batch_size": 16}) for text in (values, again, kept)] == [True, False, False]
    assert [text in refused(data_digest="e" * 64) for text in (values, again, kept)] == [False, True, False]
    message = refused(repacked=("  images: 3 images added to the 20, and nothing else changed",))
    assert [text in message for text in (values, again, kept)] == [False, False, True]
    assert "3 images added to the 20, and nothing else changed" in message
    assert "--pipelines train,evaluate,generate" in message
    assert "The packed images were not replaced" in message
