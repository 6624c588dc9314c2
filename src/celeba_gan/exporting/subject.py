"""What is exported: a generator, and what is known about its training, its data and its quality."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from celeba_gan.evaluation.documents import Evaluation
from celeba_gan.gan.runs.cards import ModelCard, RunCard
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.images.packed import PackedImages
from celeba_gan.sources.source_report import SourceReport

DataKind = Literal["celeba", "synthetic", "folder", "unknown"]


@dataclass(frozen=True)
class TrainingData:
    """The images that a generator was trained on."""

    kind: DataKind
    images: int | None = None
    """Of the train split; None: unknown."""
    recipe: Mapping[str, Any] | None = None
    """How photographs became packed images."""


@dataclass(frozen=True)
class Licence:
    """Terms of the weights, as a model card's front matter names them."""

    id: str
    name: str = ""
    """Of an `id` that is `other`."""


@dataclass(frozen=True)
class Subject:
    """A generator and what is known about it."""

    name: str
    card: ModelCard
    checkpoint: Literal["last", "best"]
    parameters: int
    data: TrainingData
    settings: Mapping[str, Any] | None = None
    """Of its training, those that decide the result; None: unknown."""
    hardware: str = ""
    evaluation: Evaluation | None = None
    """None: this generator was not measured."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of its second input; empty: it has none."""
        return () if self.card.condition is None else self.card.condition.names

    @property
    def licence(self) -> Licence:
        """The terms of its weights. Those of a training that gave the first weights are not known here."""
        if self.data.kind == "celeba":
            return Licence("other", "celeba-non-commercial-research")
        if self.data.kind == "synthetic" and self.card.init_from is None:
            return Licence("mit")
        return Licence("unknown")


def describe(
    name: str,
    trained: TrainedGenerator,
    checkpoint: Literal["last", "best"],
    *,
    run: RunCard | None,
    data: TrainingData,
    evaluation: Evaluation | None,
) -> Subject:
    """Gathers what is known about a generator.

    Args:
        name: Of the experiment.
        trained: The generator.
        checkpoint: Which one of its training it is.
        run: The card of the newest snapshot in its folder; used if it is of the same training.
        data: See `find_data`.
        evaluation: The experiment's; used if it is of this generator.
    """
    card = trained.card
    same = run is not None and run.id == card.id
    hardware = f"{run.hardware.device_name} ({run.hardware.precision})" if run is not None and same else ""
    return Subject(
        name=name,
        card=card,
        checkpoint=checkpoint,
        parameters=sum(weights.numel() for weights in trained.module.parameters()),
        data=data,
        settings=run.identity if run is not None and same else None,
        hardware=hardware,
        evaluation=evaluation if evaluation is not None and is_of(evaluation, card) else None,
    )


def is_of(evaluation: Evaluation, card: ModelCard) -> bool:
    """Whether an evaluation measured this generator: the same training, after as many images."""
    return (evaluation.protocol.training_id, evaluation.protocol.images) == (card.id, card.images)


_KINDS: Final[Mapping[str, DataKind]] = {"celeba": "celeba", "synthetic": "synthetic", "folder": "folder"}


def find_data(card: ModelCard, packed: PackedImages | None, report: SourceReport | None) -> TrainingData:
    """The images of a generator's training: known if they are still packed, by their digest, with their source."""
    if packed is None or packed.digest != card.data_digest:
        return TrainingData("unknown")
    start, stop = packed.split("train")
    kind = _KINDS.get(report.kind, "unknown") if report is not None else "unknown"
    return TrainingData(kind, stop - start, packed.manifest.recipe.model_dump(mode="json"))
