"""The front door for scripts and notebooks: train, evaluate and sample without a Kedro project."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from filelock import Timeout
from pydantic import ValidationError

from celeba_gan.foundation.files import staged
from celeba_gan.foundation.locks import locked
from celeba_gan.foundation.settings import Settings
from celeba_gan.gan.runs.checkpoint import CheckpointError
from celeba_gan.gan.runs.models import Experiments, NamedModel
from celeba_gan.gan.runs.run import Run
from celeba_gan.tracking.config import TrackingError, TrackingSettings
from celeba_gan.tracking.fetch import fetch_generator, is_model_uri

if TYPE_CHECKING:
    from celeba_gan.evaluation.documents import Evaluation
    from celeba_gan.gan.sampling.trained import TrainedGenerator
    from celeba_gan.images.packed import PackedImages
    from celeba_gan.sources.source import Source

Checked = TypeVar("Checked", bound=Settings)

# Those of conf/base: minutes on two CPU cores.
_TRAINING: Final[dict[str, Any]] = {
    "kimg": 150,
    "tick_kimg": 10,
    "evaluate_every_kimg": 10,
    "batch_size": 32,
    "n_critic": 2,
    "network": {"name": "dcgan", "dcgan": {"width": 32}},
    "objective": {"name": "wgan"},
    "penalty": {"gradient_penalty": {"weight": 10}},
    "generator_optimizer": {"learning_rate": 1e-3, "beta2": 0.99},
    "discriminator_optimizer": {"learning_rate": 1e-3, "beta2": 0.99},
}


class ModelError(ValueError):
    """There is no such model, or it cannot be read; the message says what there is."""


class SettingsError(ValueError):
    """A setting is unknown or has a wrong value; the message names it and what is allowed."""


def load_generator(
    source: str | Path,
    *,
    checkpoint: Literal["last", "best"] = "last",
    device: str = "auto",
    tracking_uri: str | None = None,
) -> "TrainedGenerator":
    """Loads a trained generator; no code of a model is run, and nothing is unpickled.

        generator = celeba_gan.load_generator("demo")
        images = generator.sample(16, seed=1, truncation=0.7)  # uint8 (16, size, size, 3)

    Args:
        source: A generator's file (`.safetensors`); a folder with one, such as what `train` or the export pipeline
            writes; the name of an experiment in `data/06_models` of the current folder or one above it; or a model in
            MLflow, such as "models:/celeba_gan@champion" or "runs:/ID/generator".
        checkpoint: Of an experiment: the generator of its last tick, or of the best one.
        device: "cpu", "cuda", "mps", or "auto": the fastest there is.
        tracking_uri: MLflow's store; None: MLFLOW_TRACKING_URI, or else `mlflow.db` in the project.

    Returns:
        See `TrainedGenerator`: `sample`, `batches`, `images`, `to`, and `module`, the network as torch has it.

    Raises:
        ModelError: There is none of this name, or it is damaged.
        HardwareError: The device is not on this machine.
    """
    from celeba_gan.gan.runtime.hardware import find_device
    from celeba_gan.gan.sampling.trained import TrainedGenerator

    if checkpoint not in ("last", "best"):
        raise SettingsError(f"checkpoint is {checkpoint!r}; it can be last or best")
    with tempfile.TemporaryDirectory(prefix="celeba_gan-") as folder:
        model = _find(source, checkpoint, tracking_uri, Path(folder))
        try:
            network = model.networks().generator
            return TrainedGenerator(network, find_device(device))
        except CheckpointError as error:
            raise ModelError(f"{source} cannot be used: {error}") from error


def train(
    images: str | Path,
    folder: str | Path,
    *,
    size: int = 32,
    crop: int | Literal["none"] | None = None,
    labels: Literal["subfolders"] | None = None,
    **settings: Any,
) -> "TrainedGenerator":
    """Trains a generator on a folder of images, or resumes where the same call was stopped.

        celeba_gan.train("photographs", "faces", size=64, kimg=500, network={"name": "resnet"})

    Args:
        images: A folder of images, or a zip of them; all folders below it are looked into. CelebA is recognised.
        folder: What training makes: the networks, snapshots from which it resumes, a grid of samples and the metrics of
            every tick, and the packed images.
        size: Height and width of the generated images, in pixels.
        crop: Side of the centre that is cut out of each photograph before it is resized, in its pixels; "none": the
            largest square; None: as CelebA's papers do (178) for CelebA, and "none" for others.
        labels: "subfolders": a conditional generator, whose classes are the names of the subfolders.
        settings: Those of section `train` of `kedro run`, over the defaults of conf/base, which are for minutes on two
            CPU cores; see `TrainSettings`.

    Returns:
        The generator of the last tick.

    Raises:
        SettingsError: A setting is unknown or wrong.
        SourceError, PackingError: The images cannot be used.
        TrainingError: The folder has another training, or a value became NaN or infinite.
        KeyboardInterrupt: After Ctrl-C; the last tick is saved, and the same call resumes from it.
    """
    from celeba_gan.datasets.ticks import MetricRowsDataset, TrainingGridsDataset
    from celeba_gan.gan.runtime.hardware import find_device
    from celeba_gan.gan.sampling.trained import TrainedGenerator
    from celeba_gan.gan.settings import TrainSettings
    from celeba_gan.pipelines.train.nodes import train_gan

    if labels is not None:
        settings = {"condition": {"name": "class"}, **settings}
    checked = _checked(TrainSettings, {**_TRAINING, **settings})
    place = Path(folder).expanduser()
    with _alone(place):
        data = _prepare(Path(images).expanduser(), place / "images", size, crop, labels)
        run, rows = Run(place), MetricRowsDataset(str(place / "metric_rows"))
        grids = TrainingGridsDataset(str(place / "training_grids"))
        snapshot = run.newest() if checked.resume else None
        models = Experiments(place.parent)
        for tick, grid, made in train_gan(data.packed, data.labels, data.classes, checked, snapshot, models):
            rows.save(tick)
            grids.save(grid)
            run.append(made)
        return TrainedGenerator(run.networks().generator, find_device(checked.device))


def evaluate(
    model: str | Path,
    images: str | Path | None = None,
    *,
    checkpoint: Literal["last", "best"] = "last",
    crop: int | Literal["none"] | None = None,
    folder: str | Path | None = None,
    tracking_uri: str | None = None,
    **settings: Any,
) -> "Evaluation":
    """Measures a generator against images that it was not trained on.

        print(celeba_gan.evaluate("faces").metrics)

    Args:
        model: As in `load_generator`.
        images: A folder or zip of images, as in `train`; None: those that `train` has packed in the model's folder.
        checkpoint: As in `load_generator`.
        crop: As in `train`.
        folder: What is made: `evaluation.json`, `evaluation.html`, and cached features. None: the model's folder.
        tracking_uri: As in `load_generator`.
        settings: Those of section `evaluate` of `kedro run`; see `EvaluateSettings`.

    Returns:
        The numbers with their intervals, floors and protocol.

    Raises:
        ModelError, SettingsError, SourceError, PackingError: As above.
        EvaluationError: There are too few images, or they have another size.
    """
    from celeba_gan.datasets.runs import ClassifierDataset
    from celeba_gan.datasets.ticks import MetricRowsDataset
    from celeba_gan.evaluation.config import EvaluateSettings
    from celeba_gan.evaluation.features.store import FeatureStore
    from celeba_gan.pipelines.evaluate.nodes import evaluate_generator, fit_attribute_classifier, report_evaluation

    checked = _checked(EvaluateSettings, {**settings, "checkpoint": checkpoint})
    with tempfile.TemporaryDirectory(prefix="celeba_gan-") as temporary:
        found = _find(model, checkpoint, tracking_uri, Path(temporary))
        own = found.path if found.path.is_dir() else None
        place = Path(folder).expanduser() if folder is not None else own
        if place is None:
            raise SettingsError(f"{model} is no folder: name the folder for what evaluation makes, as folder='...'")
        with _alone(place):
            data = _images_of(found, images, place, crop)
            classifiers = ClassifierDataset(str(place / "images" / "attribute_classifier"), missing_ok=True)
            classifier = fit_attribute_classifier(data.packed, data.labels, checked, classifiers.load())
            classifiers.save(classifier)
            run, store = Run(own or place), FeatureStore(place / "images" / "features")
            evaluation, measured, neighbours = evaluate_generator(
                run, found, data.packed, data.labels, data.classes, classifier, store, None, checked
            )
            rows = MetricRowsDataset(str(run.folder / "metric_rows")).load()
            _, page = report_evaluation(evaluation, measured, neighbours, rows, run)
            for name, text in (("json", json.dumps(evaluation.to_json(), indent=2)), ("html", page)):
                with staged(place / f"evaluation.{name}") as staging:
                    staging.write_text(f"{text}\n", encoding="utf-8")
    return evaluation


@dataclass(frozen=True)
class _Data:
    """Packed images, and the tables `labels` and `classes` about them."""

    packed: "PackedImages"
    labels: Any
    classes: Any


def _images_of(model: NamedModel, images: str | Path | None, place: Path, crop: int | Literal["none"] | None) -> _Data:
    """What a model is measured against."""
    import pandas as pd

    from celeba_gan.images.packed import PackedImages

    if images is not None:
        condition = model.card.condition
        labels: Literal["subfolders"] | None = "subfolders" if condition and condition.kind == "class" else None
        return _prepare(Path(images).expanduser(), place / "images", model.card.size, crop, labels)
    stored = place / "images"
    if not (stored / "classes.parquet").is_file():
        raise SettingsError(f"{place} has no packed images of a training: name the images to measure against")
    return _Data(
        PackedImages(stored / "packed"),
        pd.read_parquet(stored / "labels.parquet"),
        pd.read_parquet(stored / "classes.parquet"),
    )


def _prepare(
    images: Path, place: Path, size: int, crop: int | Literal["none"] | None, labels: Literal["subfolders"] | None
) -> _Data:
    """Indexes and packs images; those that are packed already are kept."""
    from celeba_gan.datasets.packed_images import PackedImagesDataset
    from celeba_gan.images.config import PreprocessSettings
    from celeba_gan.images.packed import PackedImages
    from celeba_gan.pipelines.ingest.nodes import index_images
    from celeba_gan.pipelines.preprocess.nodes import label_images, pack_images
    from celeba_gan.sources.config import IngestSettings

    source, usual_crop = _source(images, labels)
    condition_on = ["label"] if labels else []
    settings = _checked(
        PreprocessSettings, {"size": size, "crop": usual_crop if crop is None else crop, "condition_on": condition_on}
    )
    ingest = IngestSettings()
    index, rejected, report = index_images(source, ingest)
    dataset = PackedImagesDataset(str(place / "packed"), missing_ok=True)
    for part in pack_images(source, index, rejected, report, settings, ingest, dataset.load()):
        dataset.save(part)
    packed = PackedImages(place / "packed")
    tables = dict(zip(("labels", "classes"), label_images(packed, index, settings), strict=False))
    for name, table in tables.items():
        with staged(place / f"{name}.parquet") as staging:
            table.to_parquet(staging)
    return _Data(packed, **tables)


def _source(images: Path, labels: Literal["subfolders"] | None) -> "tuple[Source, int | Literal['none']]":
    """The source that reads a folder or zip, and the crop that is usual for it."""
    from celeba_gan.sources.celeba import CelebA
    from celeba_gan.sources.folder import ImageFolder

    if labels is None and images.exists():
        celeba = CelebA(images)
        if celeba.has_images and celeba.tables:
            return celeba, 178
    return ImageFolder(images, labels=labels), "none"


def _find(
    source: str | Path, checkpoint: Literal["last", "best"], tracking_uri: str | None, folder: Path
) -> NamedModel:
    """The model of a name; of MLflow's, a copy in `folder`."""
    name, project = str(source), _project()
    try:
        if is_model_uri(name):
            fetched = fetch_generator(name, TrackingSettings(tracking_uri=tracking_uri), project, folder)
            return NamedModel.at(fetched.file, fetched.label)
        return NamedModel.at(Experiments(project / "data" / "06_models").find(name), name, checkpoint)
    except (CheckpointError, TrackingError) as error:
        raise ModelError(str(error)) from error


def _project() -> Path:
    """The closest folder from here upwards that has experiments; the current one where none has."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "data" / "06_models").is_dir()), here)


def _checked(model: type[Checked], values: Mapping[str, Any]) -> Checked:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        reasons = "; ".join(_reason(details, model) for details in error.errors())
        raise SettingsError(reasons) from error


def _reason(details: Mapping[str, Any], model: type[Settings]) -> str:
    name, message = ".".join(map(str, details["loc"])), details["msg"].removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        return f"there is no setting {name}; those of this section are {', '.join(model.model_fields)}"
    return f"{name} is {details['input']!r}: {message}" if name else message


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Refuses a second process that writes to the same folder."""
    try:
        with locked(place.with_name(f".{place.name}.lock"), timeout=0):
            yield
    except Timeout:
        raise SettingsError(f"another process writes to {place}; wait for it, or name another folder") from None
