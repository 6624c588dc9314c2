"""The front door for scripts and notebooks: train, evaluate and sample without a Kedro project."""

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from filelock import Timeout
from pydantic import ValidationError

from celeba_gan.arguments import named_as_arguments
from celeba_gan.foundation.documents import parse_json
from celeba_gan.foundation.files import staged, unused
from celeba_gan.foundation.locks import locked
from celeba_gan.foundation.settings import Settings, field_at
from celeba_gan.foundation.wording import nearest
from celeba_gan.gan.runs.checkpoint import CheckpointError
from celeba_gan.gan.runs.models import Experiments, NamedModel
from celeba_gan.gan.runs.run import Run
from celeba_gan.ranks.launched import launched
from celeba_gan.tracking.config import TrackingError, TrackingSettings, sqlite_file
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


_OF_CELEBA: Final = ("*img_align_celeba*", "*list_attr_celeba*", "*/*list_attr_celeba*")

logger = logging.getLogger(__name__)


class ModelError(ValueError):
    """There is no such model, or it cannot be read; the message says what there is."""


class SettingsError(ValueError):
    """A setting is unknown or has a wrong value; the message names it and what is allowed."""


@named_as_arguments()
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
            return TrainedGenerator(network, find_device(device, "device"))
        except CheckpointError as error:
            raise ModelError(f"{source} cannot be used: {error}") from error


@named_as_arguments()
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

    Every tick is a line on stderr, or in the program's own log: `logging.getLogger("celeba_gan").setLevel("WARNING")`
    silences them.

    Returns:
        The generator of the last tick.

    Raises:
        SettingsError: A setting is unknown or wrong, the folder has a training on other images, or this is one of
            torchrun's processes. With `resume=False` a former training is set aside, under a name with the time.
        NetworkError: The network does not exist at this size.
        SourceError, LabelError, PackingError: The images, or their labels, cannot be used.
        CheckpointError: There is nothing at `init_from`, or a snapshot is damaged.
        TrainingError: The folder has another training, or a value became NaN or infinite.
        KeyboardInterrupt: After Ctrl-C; the last tick is saved, and the same call resumes from it.
    """
    from celeba_gan.datasets.ticks import MetricRowsDataset, TrainingGridsDataset
    from celeba_gan.gan.runtime.hardware import find_device
    from celeba_gan.gan.sampling.trained import TrainedGenerator
    from celeba_gan.gan.settings import TrainSettings
    from celeba_gan.images.config import PreprocessSettings
    from celeba_gan.pipelines.train.nodes import train_gan
    from celeba_gan.reporting.training.progress import ScriptProgress, lines_shown

    if launched().several:  # each would train alone, into the same folder
        raise SettingsError(
            f"celeba_gan.train runs in one process, and this is {launched().name} of {launched().world}. Several train "
            "together under torchrun -m celeba_gan --pipelines train, in a project"
        )
    if labels is not None:
        settings = {"condition": {"name": "class"}, **settings}
    checked = _checked(TrainSettings, {**_TRAINING, **settings}, ("images", "folder", "size", "crop", "labels"))
    place, source = _path("folder", folder), _path("images", images)
    if source.is_dir() and place.resolve().is_relative_to(source.resolve()):
        raise SettingsError(
            f"folder {place} is inside of the images, and would become one of their folders: name another"
        )
    _checked(PreprocessSettings, {"size": size, "crop": "none" if crop is None else crop})
    checked.network_size(size)  # raises where the network does not exist at this size
    with _alone(place):
        if not checked.resume and Run(place).has_snapshot():
            _set_aside(place)
        packing = _Packing(str(source.resolve()), size, crop, labels)
        if Run(place).has_snapshot():
            packing.check_same(place)
        data = _prepare(source, place / "images", size, crop, labels)
        packing.save(place)
        run, rows = Run(place), MetricRowsDataset(str(place / "metric_rows"))
        grids = TrainingGridsDataset(str(place / "training_grids"))
        snapshot = run.newest() if checked.resume else None
        models = Experiments(place.parent)
        tables = (data.packed, data.labels, data.classes)
        with lines_shown():
            for tick, grid, made in train_gan(*tables, checked, snapshot, models, ScriptProgress()):
                rows.save(tick)
                grids.save(grid)
                run.append(made)
        return TrainedGenerator(run.networks().generator, find_device(checked.device))


@named_as_arguments()
def evaluate(
    model: str | Path,
    images: str | Path | None = None,
    *,
    checkpoint: Literal["last", "best"] = "last",
    count: int | None = None,
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
        count: Images per side, at most; None: 5,000.
        crop: As in `train`.
        folder: What is made: `evaluation.json`, `evaluation.html`, and cached features. None: the model's folder.
        tracking_uri: As in `load_generator`.
        settings: Others of section `evaluate` of `kedro run`, except those of two models and of MLflow's registry; see
            `EvaluateSettings`.

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
    from celeba_gan.reporting.training.progress import bars_move

    if others := sorted({"compare_with", "promote", "promote_metric", "promote_as"} & settings.keys()):
        raise SettingsError(f"{', '.join(others)}: only `kedro run --pipelines evaluate` takes these")
    counted = {} if count is None else {"images": count}
    arguments = ("model", "images", "count", "crop", "folder", "tracking_uri")
    checked = _checked(EvaluateSettings, {**settings, **counted, "checkpoint": checkpoint}, arguments)
    with tempfile.TemporaryDirectory(prefix="celeba_gan-") as temporary:
        found = _find(model, checkpoint, tracking_uri, Path(temporary))
        own = found.path if found.path.is_dir() else None
        place = _path("folder", folder) if folder is not None else own
        if place is None:
            raise SettingsError(f"{model} is no folder: name the folder for what evaluation makes, as folder='...'")
        with _alone(place):
            data, cache = _images_of(found, images, own, place, crop)
            classifiers = ClassifierDataset(str(cache / "attribute_classifier"), missing_ok=True)
            classifier = fit_attribute_classifier(data.packed, data.labels, checked, classifiers.load(), bars_move())
            classifiers.save(classifier)
            run, store = Run(own or place), FeatureStore(cache / "features")
            evaluation, measured, neighbours = evaluate_generator(
                run, found, data.packed, data.labels, data.classes, classifier, store, None, checked, bars_move()
            )
            rows = MetricRowsDataset(str(run.folder / "metric_rows")).load()
            _, page = report_evaluation(evaluation, measured, neighbours, rows, run)
            for name, text in (("json", json.dumps(evaluation.to_json(), indent=2)), ("html", page)):
                with staged(place / f"evaluation.{name}") as staging:
                    staging.write_text(f"{text}\n", encoding="utf-8")
    return evaluation


@dataclass(frozen=True)
class _Packing:
    """Which images a training has packed, and how."""

    images: str
    size: int
    crop: int | Literal["none"] | None
    labels: Literal["subfolders"] | None

    def check_same(self, place: Path) -> None:
        """Raises SettingsError if the training in a folder has others: they would be replaced before it is refused."""
        try:
            before = parse_json((place / "images" / "source.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return  # training compares the images themselves
        now = asdict(self)
        if not isinstance(before, dict):
            return
        if changed := [f"{name}={before.get(name)!r}" for name in now if before.get(name) != now[name]]:
            raise SettingsError(
                f"{place} has a training on other images, with {', '.join(changed)}. Name another folder, or start "
                "anew with resume=False, which sets it aside"
            )

    def save(self, place: Path) -> None:
        """Stores it beside the images."""
        with staged(place / "images" / "source.json") as staging:
            staging.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def _set_aside(place: Path) -> None:
    """Gives a former training another name; its images stay, and are used again if they are the same."""
    aside = unused(place.with_name(f"{place.name}.{datetime.now():%Y-%m-%d-%H%M%S}"))
    place.replace(aside)
    if (aside / "images").is_dir():
        place.mkdir()
        (aside / "images").replace(place / "images")
    logger.warning("The former training is set aside in %s", aside)


@dataclass(frozen=True)
class _Data:
    """Packed images, and the tables `labels` and `classes` about them."""

    packed: "PackedImages"
    labels: Any
    classes: Any


def _images_of(
    model: NamedModel,
    images: str | Path | None,
    own: Path | None,
    place: Path,
    crop: int | Literal["none"] | None,
) -> tuple[_Data, Path]:
    """What a model is measured against, and where features of it are cached.

    Other images than those of the training are packed beside them.
    """
    import pandas as pd

    from celeba_gan.images.packed import PackedImages

    if images is not None:
        condition, stored = model.card.condition, place / "evaluated_images"
        labels: Literal["subfolders"] | None = "subfolders" if condition and condition.kind == "class" else None
        return _prepare(_path("images", images), stored, model.card.size, crop, labels), stored
    if own is None or not (own / "images" / "classes.parquet").is_file():
        raise SettingsError(
            f"{model.label} has no packed images of a training beside it: name the images to measure against"
        )
    stored = own / "images"
    tables = {name: pd.read_parquet(stored / f"{name}.parquet") for name in ("labels", "classes")}
    return _Data(PackedImages(stored / "packed"), **tables), stored


def _prepare(
    images: Path, place: Path, size: int, crop: int | Literal["none"] | None, labels: Literal["subfolders"] | None
) -> _Data:
    """Indexes and packs images; those that are packed already are kept."""
    from celeba_gan.datasets.packed_images import PackedImagesDataset
    from celeba_gan.images.config import PreprocessSettings
    from celeba_gan.images.packed import PackedImages
    from celeba_gan.pipelines.ingest.nodes import index_images
    from celeba_gan.pipelines.preprocess.nodes import label_images, pack_images
    from celeba_gan.reporting.training.progress import bars_move
    from celeba_gan.sources.config import IngestSettings

    source, usual_crop = _source(images, labels)
    condition_on = ["label"] if labels else []
    settings = _checked(
        PreprocessSettings, {"size": size, "crop": usual_crop if crop is None else crop, "condition_on": condition_on}
    )
    ingest, bar = IngestSettings(), bars_move()
    index, rejected, report = index_images(source, ingest, bar)
    dataset = PackedImagesDataset(str(place / "packed"), missing_ok=True)
    for part in pack_images(source, index, rejected, report, settings, ingest, dataset.load(), bar):
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

    if labels is None and images.is_dir() and any(next(images.glob(name), None) for name in _OF_CELEBA):
        celeba = CelebA(images)
        if celeba.has_images and celeba.tables:
            return celeba, 178
    return ImageFolder(images, labels=labels), "none"


def _find(
    source: str | Path, checkpoint: Literal["last", "best"], tracking_uri: str | None, folder: Path
) -> NamedModel:
    """The model of a name; of MLflow's, a copy in `folder`."""
    name, project = str(_path("the model", source)) if isinstance(source, Path) else source, _project()
    if not isinstance(name, str) or not name or "\0" in name:
        raise ModelError(
            f"the model is {source!r}; give a file, a folder, the name of an experiment, or an address of MLflow"
        )
    try:
        if is_model_uri(name):
            settings = _checked(TrackingSettings, {"tracking_uri": tracking_uri})
            database = sqlite_file(settings.store_uri(project))
            if database is not None and not database.is_file():  # MLflow would make one
                raise ModelError(f"there is no MLflow store {database}, to find {name} in; give tracking_uri")
            fetched = fetch_generator(name, settings, project, folder)
            return NamedModel.at(fetched.file, fetched.label)
        path = Path(name).expanduser()
        if path.is_file() or any((path / part).exists() for part in ("generator.safetensors", "training_state")):
            return NamedModel.at(path, name, checkpoint)
        return NamedModel.at(Experiments(project / "data" / "06_models").find(name), name, checkpoint)
    except (CheckpointError, TrackingError, OSError, ImportError) as error:
        raise ModelError(f"{name[:200]}: {error}") from error


def _path(what: str, given: object) -> Path:
    """A path that a user has given."""
    if not isinstance(given, (str, Path)) or not str(given).strip() or "\0" in str(given):
        raise SettingsError(f"{what} is {given!r}; give the path of a folder or a file")
    path = Path(given).expanduser()
    if not path.resolve().name:
        raise SettingsError(f"{what} is {given!r}, the top of the file system; give another path")
    return path


def _project() -> Path:
    """The closest folder from here upwards that has experiments; the current one where none has."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "data" / "06_models").is_dir()), here)


def _checked(model: type[Checked], values: Mapping[str, Any], arguments: Sequence[str] = ()) -> Checked:
    """Settings, or a SettingsError; `arguments` are what its caller takes beside them."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        reasons = "; ".join(_reason(details, model, arguments) for details in error.errors())
        raise SettingsError(reasons) from error


def _reason(details: Mapping[str, Any], model: type[Settings], arguments: Sequence[str]) -> str:
    path, found = field_at(model, details["loc"])
    name, message = ".".join(path), details["msg"].removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        known = [*(arguments if found is model else ()), *found.model_fields]
        near = nearest(path[-1], known)
        return f"there is no setting {name}; " + (f"did you mean {near}?" if near else f"there are {', '.join(known)}")
    return f"{name} is {details['input']!r}: {message}" if name else message


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Refuses a second process that writes to the same folder."""
    try:
        with locked(place.with_name(f".{place.name}.lock"), timeout=0):
            yield
    except Timeout:
        raise SettingsError(f"another process writes to {place}; wait for it, or name another folder") from None
