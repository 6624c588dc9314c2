"""Whether a snapshot belongs to the training that is requested."""

from collections.abc import Mapping

from celeba_gan.foundation.flat import flatten
from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.runs.cards import ImagesCard, RunCard
from celeba_gan.gan.settings import TrainSettings


class TrainingError(RuntimeError):
    """Training cannot start, resume or go on; the message says why and what to do."""


def check_resumed_from(settings: TrainSettings, card: RunCard | None) -> None:
    """Refuses to resume from another snapshot than the one that `resume_from` names.

    Raises:
        TrainingError: It is another one, or there is none.
    """
    if settings.resume_from is not None and (card is None or card.images != round(settings.resume_from * 1000)):
        loaded = "there is no snapshot" if card is None else f"the snapshot is the one at {card.images / 1000:g} kimg"
        raise TrainingError(
            f"train.resume_from={settings.resume_from:g}: {loaded}. Give train.resume_from with --params: in a "
            "parameters.yml it would apply to every run, and is ignored"
        )


def check_same_run(settings: TrainSettings, images: ImagesCard, card: RunCard) -> None:
    """Refuses to resume another run, naming both values of each difference and the way out.

    Raises:
        TrainingError: There is a difference.
    """
    now = {**settings.identity(), "image size": images.size}
    before = {**card.identity, "image size": card.size}
    differences = list_differences(before, now, "in the snapshot", "now")
    if card.data_digest != images.data_digest:
        differences.append(
            f"  packed images: digest {card.data_digest[:12]} in the snapshot, {images.data_digest[:12]} now "
            "(another source, split, crop or size)"
        )
    if (names_before := label_names(card.condition)) != (names := label_names(images.condition)):
        differences.append(f"  labels: {names_before} in the snapshot, {names} now")
    elif images.condition and card.condition and card.condition.digest != images.condition.digest:
        differences.append("  labels: the images had other labels when the snapshot was saved")
    if differences:
        raise TrainingError(
            "The snapshot belongs to another run:\n"
            + "\n".join(differences)
            + "\nGive the values of the snapshot to resume it; or keep both runs with --params experiment=NAME "
            "(and dataset=NAME where the images differ); or start anew with --params train.resume=false (the old "
            "results are set aside, not deleted)"
        )


def list_differences(before: Mapping[str, object], now: Mapping[str, object], there: str, here: str) -> list[str]:
    """A line for each value, nested or not, that two descriptions do not share, with the words for their places."""
    old, new = flatten(before), flatten(now)
    return [
        f"  {name}: {old.get(name, 'absent')} {there}, {new.get(name, 'absent')} {here}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name, "absent") != new.get(name, "absent")
    ]


def label_names(condition: Condition | None) -> str:
    """The names of labels for people."""
    return ", ".join(condition.names) if condition else "none"
