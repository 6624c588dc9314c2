"""Whether a snapshot belongs to the training that is requested."""

from collections.abc import Mapping, Sequence

from celeba_gan.foundation.flat import flatten
from celeba_gan.gan.networks.condition import Condition
from celeba_gan.gan.runs.cards import ImagesCard, ModelCard, RunCard
from celeba_gan.gan.settings import TrainSettings

_SHAPES = ("network.", "latent.", "image size")  # differences with which weights do not fit


class TrainingError(RuntimeError):
    """Training cannot start, resume or go on; the message says why and what to do."""


def check_resumed_from(kimg: float | None, card: RunCard | None) -> None:
    """Raises TrainingError if the snapshot is not the one that `train.resume_from` names, or there is none."""
    if kimg is not None and (card is None or card.images != round(kimg * 1000)):
        loaded = "there is no snapshot" if card is None else f"the snapshot is the one at {card.images / 1000:g} kimg"
        raise TrainingError(
            f"train.resume_from={kimg:g}: {loaded}. Give train.resume_from with --params: in a "
            "parameters.yml it would apply to every run, and is ignored"
        )


def check_same_run(
    identity: Mapping[str, object],
    images: ImagesCard,
    card: RunCard,
    experiment: str = "EXPERIMENT",
    repacked: Sequence[str] = (),
) -> None:
    """Raises TrainingError if the snapshot is another run's, with both values of each difference and the ways out.

    Args:
        identity: Of the training that is requested.
        images: Its images.
        card: Of the snapshot.
        experiment: The snapshot's, for the message.
        repacked: Why other images will be packed before training, a line for each reason; the packed ones are still
            those of the snapshot.
    """
    now = {**identity, "image size": images.size}
    before = {**card.identity, "image size": card.size}
    differences = list_differences(before, now, "in the snapshot", "now")
    fits = not any(line.strip().startswith(_SHAPES) for line in differences)
    if (names_before := label_names(card.condition)) != (names := label_names(images.condition)):
        differences.append(f"  labels: {names_before} in the snapshot, {names} now")
        fits = False
    elif images.condition and card.condition and card.condition.digest != images.condition.digest:
        differences.append("  labels: the images had other labels when the snapshot was saved")
    resume = "give the values of the snapshot" if differences else ""
    if card.data_digest != images.data_digest:
        differences.append(
            f"  packed images: digest {card.data_digest[:12]} in the snapshot, {images.data_digest[:12]} now "
            "(other images were packed: another source, split, crop or size, or images were added or removed)"
        )
        resume = " and ".join(filter(None, [resume, "pack the images that it was trained on"]))
    if repacked:
        differences += repacked
        same = "train on the packed images as they are, with --pipelines train,evaluate,generate"
        resume = " and ".join(filter(None, [resume, same]))
    if not differences:
        return
    ways = [f"  resume it: {resume}"]
    if fits:
        ways.append(
            "  start a new training from its weights: the same command with "
            f"--params experiment=NAME,train.init_from={experiment}"
        )
    ways += [
        "  start a new training from fresh weights: the same command with --params experiment=NAME",
        "  start anew under the same name: --params train.resume=false (the old results are set aside, not deleted)",
    ]
    if repacked:
        ways.append("The packed images were not replaced. Give dataset=NAME as well to keep them in the new training")
    raise TrainingError("\n".join(["The snapshot belongs to another run:", *differences, "Choose one:", *ways]))


def expected_images(
    settings: TrainSettings,
    size: int,
    saved: ModelCard,
    digest: str | None = None,
    names: Sequence[str] | None = None,
) -> ImagesCard:
    """The training images' card as far as it is known before training; the rest is taken from a saved card.

    Args:
        settings: Of the training.
        size: Height and width in pixels of what the networks see.
        saved: The card of the snapshot to resume, or of the weights to start from.
        digest: Of the packed images; None: not known.
        names: Of the labels, none for an unconditional training; None: not known.
    """
    kind, condition = settings.condition.name, saved.condition
    if kind == "none":
        condition = None
    elif condition is None or condition.kind != kind or (names is not None and tuple(names) != condition.names):
        known = tuple(names) if names is not None else (f"train.condition.name={kind}",)
        condition = Condition(kind=kind, names=known, sets=(), counts=(), digest="")
    return ImagesCard(
        size=size,
        random_crop=settings.random_crop,
        data_digest=saved.data_digest if digest is None else digest,
        condition=condition,
    )


def list_differences(before: Mapping[str, object], now: Mapping[str, object], there: str, here: str) -> list[str]:
    """A line for each value, nested or not, that two descriptions do not share, with the words for their places."""
    old, new = flatten(before), flatten(now)
    return [
        f"  {name}: {str(old.get(name, 'absent'))[:200]} {there}, {str(new.get(name, 'absent'))[:200]} {here}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name, "absent") != new.get(name, "absent")
    ]


def label_names(condition: Condition | None) -> str:
    """The names of labels for people."""
    return ", ".join(condition.names) if condition else "none"
