"""Whether a saved state belongs to the training that is asked for."""

from typing import Any

from celeba_gan.foundation.flat import flatten
from celeba_gan.gan.settings import TrainSettings


class TrainingError(RuntimeError):
    """Training cannot start, carry on or go on; the message says why and what to do."""


def check_resumed_from(settings: TrainSettings, card: dict[str, Any] | None) -> None:
    """Refuses to carry on from another state than the one that `resume_from` asks for.

    Args:
        settings: What is asked for.
        card: Of the saved state; None where there is none.

    Raises:
        TrainingError: It is another one, or none.
    """
    if settings.resume_from is not None and (card is None or card["images"] != round(settings.resume_from * 1000)):
        loaded = (
            "there is no saved state" if card is None else f"the state is the one at {card['images'] / 1000:g} kimg"
        )
        raise TrainingError(
            f"train.resume_from asks for the state at {settings.resume_from:g} kimg, and {loaded}. Give it with "
            "--params: in a parameters.yml it would go back in every run, and is not read"
        )


def check_same_run(settings: TrainSettings, seen: dict[str, Any], card: dict[str, Any]) -> None:
    """Refuses to carry on another run, naming both values of each difference and the way out.

    A setting that the saved state lacks, because it did not exist yet, had its default.

    Args:
        settings: What is asked for.
        seen: What the cards would say of the images: `size`, `data_digest`, `condition`.
        card: Of the saved state.

    Raises:
        TrainingError: There is a difference.
    """
    now = flatten({**settings.identity(), "image size": seen["size"]})
    before = {name: value for name, value in flatten(_defaults(settings)).items() if name in now}
    before |= flatten({**card["identity"], "image size": card["size"]})
    differences = [
        f"  {name}: {before.get(name, 'absent')} in the saved state, {now.get(name, 'absent')} now"
        for name in sorted(before.keys() | now.keys())
        if name not in before or name not in now or before[name] != now[name]
    ]
    if card["data_digest"] != seen["data_digest"]:
        differences.append(
            f"  packed images: digest {card['data_digest'][:12]} in the saved state, {seen['data_digest'][:12]} now "
            "(another source, split, crop or size)"
        )
    if (before_names := label_names(card)) != (names := label_names(seen)):
        differences.append(f"  labels: {before_names} in the saved state, {names} now")
    elif seen["condition"] and card["condition"]["digest"] != seen["condition"]["digest"]:
        differences.append("  labels: the images had others when the state was saved")
    if differences:
        raise TrainingError(
            "The saved training state belongs to another run:\n"
            + "\n".join(differences)
            + "\nGive the values of the saved state to carry it on; or keep both runs with --params experiment=NAME "
            "(and dataset=NAME where the images differ); or start anew with --params train.resume=false (the old "
            "results are set aside, not deleted)"
        )


def label_names(card: dict[str, Any]) -> str:
    """What a card says of labels, for people."""
    condition = card.get("condition")  # states of before there were labels lack it
    return ", ".join(condition["names"]) if condition else "none"


def _defaults(settings: TrainSettings) -> dict[str, Any]:
    """The identity of a training that was told nothing but its network's name and what it must be told."""
    needed = {
        name: getattr(settings, name) for name, field in TrainSettings.model_fields.items() if field.is_required()
    }
    return TrainSettings.model_validate(
        {**needed, "network": {"name": settings.network.name}, "n_critic": 1}
    ).identity()
