"""Refuses before long work what a later stage of the same run would refuse after it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from celeba_gan.foundation.paths import filepaths, shown
from celeba_gan.foundation.settings import is_none
from celeba_gan.foundation.wording import stage_command
from celeba_gan.hooks.place_checks import check_places
from celeba_gan.hooks.run_folders import RUN
from celeba_gan.hooks.stage_checks import PACKED, Stages

_FOLDERS: Final = frozenset({PACKED, RUN, "metric_rows", "training_grids", "samples", "exported_folder"})
_REQUIRED_FOLDERS: Final = frozenset({PACKED, RUN})


class MissingInputError(ValueError):
    """A file that the run reads is not there; the message says which, and what makes it."""


class NoFolderError(ValueError):
    """A file has the name of a folder that the run makes; the message says which, and what to do."""


class EarlyChecks:
    """Checks what the run's stages need, with the functions that would raise the same errors later.

    Before the first node: what parameters and files decide. Before packing: what the index of the images decides.
    Before training, or else before the attribute classifier: what packed images and labels decide. The plan is checked
    as a run of all stages.
    """

    def __init__(self) -> None:
        self._paths: Mapping[str, Path] = {}
        self._entries: Mapping[str, Any] = {}
        self._stages: Stages | None = None  # stays None in the processes of ParallelRunner

    @hook_impl
    def after_catalog_created(self, conf_catalog: dict[str, Any]) -> None:
        """Records where the catalog's entries are."""
        self._paths, self._entries = filepaths(conf_catalog), conf_catalog

    @hook_impl(tryfirst=True)  # before folders are locked and set aside
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Checks what parameters and files decide.

        Raises:
            MissingInputError: A file of an earlier stage is not there, or empty.
            StorageError: A place that lies elsewhere cannot be reached or written, or a package for it is missing.
            NoFolderError: A file has the name of a folder that the run makes.
            HardwareError, CheckpointError, TrainingError, LabelError: Training would not start.
            InceptionError, FeatureFileError, EvaluationError: Evaluation would fail.
            PromotionError: The metric that decides ranks no models, or a name is not valid.
            ConditionError: `generate.labels` are not those of the generator.
            ExportError, FilmError: What an export or a film needs is not installed.
            DirectionError: `generate.directions.orthogonal_to` names an attribute that the classifier does not know.
            PhotographError: There are no photographs at `generate.project`, or they cannot be used.
        """
        check_places(pipeline, catalog, self._entries)
        _check_inputs(pipeline, self._entries)
        _check_folders(pipeline, self._paths)
        if "exported_folder" in pipeline.all_outputs():
            _check_export(catalog)
        if "walk_film" in pipeline.all_outputs() or "training_animation" in pipeline.all_outputs():
            _check_films(catalog)
        stages = Stages(pipeline, catalog)
        self._stages = stages if stages.train or stages.evaluate or stages.generate else None
        if self._stages is None:
            return  # stages that need no torch do not import it
        stages.check_files()
        stages.check_models(stages.known_names(), stages.repacked())
        if stages.planned:
            stages.check_packed_before()

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any]) -> None:
        """Checks what the images decide.

        Raises:
            EvaluationError: There are too few images, or they have another size than a model's.
            DirectionError: `generate.directions.orthogonal_to` names an attribute that these images do not have.
            PromotionError: These images have no features for the metric that decides.
            LabelError, PackedImagesError, ConditionError, TrainingError: The labels are not those requested.
        """
        if self._stages is None:
            return
        if PACKED in node.outputs and "image_index" in inputs:
            self._stages.notes = inputs["source_report"].notes
            self._stages.check_index(inputs["image_index"])
        elif {PACKED, "labels"} <= inputs.keys() and not {"params:train", "params:evaluate"}.isdisjoint(inputs):
            self._stages.check_packed(inputs[PACKED], inputs["labels"], catalog.load("classes"))


def _check_inputs(pipeline: Pipeline, entries: Mapping[str, Any]) -> None:
    """Refuses a run without what it reads, with one command for all that is missing.

    A folder alone, whose stage has all it needs, explains itself what it lacks.
    """
    from kedro.framework.project import pipelines

    paths = filepaths(entries)
    stages = {stage: one for stage, one in pipelines.items() if stage != "__default__"}
    missing = [name for name in sorted(pipeline.inputs()) if _is_missing(name, paths)]
    named = entries.get("evaluated_model", {}).get("name") if "evaluated_model" in pipeline.inputs() else None
    if not is_none(named):
        missing = [name for name in missing if name != RUN]  # another model is evaluated
    makers, left = set[str](), list(missing)
    while left:
        name = left.pop()
        maker = next((stage for stage, one in stages.items() if name in one.all_outputs()), None)
        if maker is None:
            missing = [one for one in missing if one != name]
        elif maker not in makers:
            makers.add(maker)
            left += [one for one in stages[maker].inputs() if _is_missing(one, paths)]
    files = [name for name in missing if name not in _REQUIRED_FOLDERS]
    if files or len(makers) > 1:
        path = paths[(files or missing)[0]]
        what = "damaged: it is empty" if path.is_file() else "missing"  # a full disk, or a power cut
        command = stage_command(",".join(stage for stage in stages if stage in makers))
        raise MissingInputError(f"{shown(path)} is {what}. Make it with {command}")


def _is_missing(name: str, paths: Mapping[str, Path]) -> bool:
    """Whether a file is not there or empty, or a folder that a stage cannot do without; what lies elsewhere is not."""
    path = paths.get(name)
    if path is None:
        return False
    if name in _REQUIRED_FOLDERS:
        return not path.is_dir() or all(child.name.startswith(".") for child in path.iterdir())
    return bool(path.suffix) and (not path.exists() or path.stat().st_size == 0)


def _check_folders(pipeline: Pipeline, paths: Mapping[str, Path]) -> None:
    """Refuses a run that would find a file where it makes a folder, perhaps after hours."""
    for name in sorted(pipeline.all_outputs()):
        path = paths.get(name)
        if path is None:
            continue
        for folder in (path, *path.parents) if name in _FOLDERS else path.parents:
            if folder.is_file():
                raise NoFolderError(
                    f"{shown(folder)} is a file, and this run makes a folder of that name. Rename or move the file"
                )


def _check_films(catalog: DataCatalog) -> None:
    """Refuses films as MP4, perhaps after a training, without the package that writes them."""
    from celeba_gan.datasets.films import check_mp4
    from celeba_gan.gan.sampling.config import GenerateSettings

    settings = catalog.get("params:generate")
    assert settings is not None
    if "mp4" in GenerateSettings.model_validate(settings.load()).film.formats:
        check_mp4()


def _check_export(catalog: DataCatalog) -> None:
    """Refuses an export, perhaps after a training, that would lack a package or npm."""
    from celeba_gan.exporting.config import ExportSettings
    from celeba_gan.exporting.folder import check_tools

    settings, runtime = catalog.get("params:export"), catalog.get("web_runtime")
    assert settings is not None
    assert runtime is not None
    check_tools(ExportSettings.model_validate(settings.load()), runtime.load())
