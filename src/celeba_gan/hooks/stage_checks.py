"""The stages of a run, and what each can check before it: with the functions that would raise the same errors later."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from celeba_gan.datasets.runs import ClassifierDataset, RunDataset
from celeba_gan.foundation.flat import flatten
from celeba_gan.foundation.splits import SPLITS

if TYPE_CHECKING:
    from pandas import DataFrame

    from celeba_gan.evaluation.config import EvaluateSettings
    from celeba_gan.gan.runs.cards import ModelCard, RunCard
    from celeba_gan.gan.runs.models import NamedModel
    from celeba_gan.gan.sampling.config import GenerateSettings
    from celeba_gan.gan.sampling.control_config import DirectionSettings
    from celeba_gan.gan.settings import TrainSettings
    from celeba_gan.images.config import PreprocessSettings
    from celeba_gan.images.packed import PackedImages
    from celeba_gan.tracking.promotion import Promotion

PACKED: Final = "packed_images"


class Stages:
    """The stages of a run: their settings, None for those that do not run, and the models that they read."""

    def __init__(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        self.catalog = catalog
        self.inputs, self.outputs = pipeline.all_inputs(), pipeline.all_outputs()
        self.planned = "params:train" in self.inputs and not self.outputs
        self.features: list[str] = []  # of files, Inception's or the user's
        self.promotion: Promotion | None = None
        self.packed: PackedImages | None = None  # once they are known
        self.notes: Sequence[str] = ()  # of the report on the source, once it is known

    @cached_property
    def train(self) -> "TrainSettings | None":
        """The settings of training."""
        from celeba_gan.gan.settings import TrainSettings

        return self._settings("train", TrainSettings) if "params:train" in self.inputs else None

    @cached_property
    def evaluate(self) -> "EvaluateSettings | None":
        """The settings of an evaluation."""
        from celeba_gan.evaluation.config import EvaluateSettings

        return self._settings("evaluate", EvaluateSettings) if "evaluation" in self.outputs or self.planned else None

    @cached_property
    def generate(self) -> "GenerateSettings | None":
        """The settings of sampling."""
        from celeba_gan.gan.sampling.config import GenerateSettings

        wanted = "params:generate" in self.inputs or self.planned
        return self._settings("generate", GenerateSettings) if wanted else None

    @cached_property
    def preprocess(self) -> "PreprocessSettings | None":
        """The settings of packing."""
        from celeba_gan.images.config import PreprocessSettings

        return self._settings("preprocess", PreprocessSettings) if PACKED in self.outputs or self.planned else None

    def _settings(self, section: str, model: Any) -> Any:
        return model.model_validate(self._load(f"params:{section}"))

    def _load(self, name: str) -> Any:
        dataset = self.catalog.get(name)
        assert dataset is not None
        return dataset.load()  # the catalog's own load would log every parameter

    @cached_property
    def resumed(self) -> "RunCard | None":
        """The card of the snapshot that training resumes."""
        dataset = self.catalog.get("training_run_previous")
        resumes = self.train is not None and self.train.resume
        if not resumes or not isinstance(dataset, RunDataset):
            return None
        snapshot = dataset.run.at(dataset.resume_from)  # as training will: a damaged one gives way to that before it
        return None if snapshot is None else snapshot.card

    @property
    def experiment(self) -> str:
        """The name of the experiment whose snapshot is resumed."""
        dataset = self.catalog.get("training_run_previous")
        return dataset.run.folder.name if isinstance(dataset, RunDataset) else ""

    def repacked(self, index: "DataFrame | None" = None) -> list[str]:
        """Why preprocess replaces the packed images of the snapshot, as far as is known; see `packing_changes`."""
        from celeba_gan.images.packed import PackedImages
        from celeba_gan.pipelines.preprocess.nodes import packing_changes

        if self.resumed is None or self.preprocess is None:
            return []
        packed = self._load("packed_images_previous")
        if not isinstance(packed, PackedImages) or packed.digest != self.resumed.data_digest:
            return []
        labels = self._load("labels") if index is not None and self.catalog.exists("labels") else None
        return packing_changes(packed.manifest, self.preprocess, index, labels)

    @cached_property
    def model(self) -> "ModelCard | None":
        """The card of the trained model that evaluate and generate read; None if it is yet to be trained."""
        if self.train is not None or (self.evaluate is None and self.generate is None):
            return None
        named: NamedModel | None = self._load("evaluated_model") if self.evaluate is not None else None
        if named is not None:
            return named.card
        settings, dataset = self.evaluate or self.generate, self.catalog.get("training_run")
        if settings is None or not isinstance(dataset, RunDataset):
            return None
        card = dataset.run.networks_card(settings.checkpoint)
        return card or dataset.run.networks(settings.checkpoint).generator.card  # raises the error: there is none

    @cached_property
    def compared(self) -> "NamedModel | None":
        """The model that the evaluated one is compared with."""
        return self._load("compared_model") if self.evaluate is not None else None

    def check_files(self) -> None:
        """Checks parameters and files, apart from labels."""
        from celeba_gan.evaluation.evaluate import check_splits
        from celeba_gan.gan.runs.resume import check_resumed_from
        from celeba_gan.gan.runtime.hardware import check_hardware, find_device
        from celeba_gan.pipelines.evaluate.nodes import file_extractors
        from celeba_gan.tracking.promotion import Promotion

        if self.train is not None:
            check_hardware(self.train)
            check_resumed_from(self.train.resume_from, self.resumed)
        if self.evaluate is not None:
            self.promotion = Promotion.read(flatten(self._load("params:evaluate"), "evaluate"), {})
            self.features = [extractor.name for extractor in file_extractors(self.evaluate, find_device("auto"))]
            most = dict.fromkeys(SPLITS, (0, self.evaluate.images))
            check_splits(most, self.evaluate, features=bool(self.features))
        if self.generate is not None:
            self._check_photographs(self.generate.project)
            if self.evaluate is None:
                self._check_directions(self.generate.directions)
        if self.preprocess is not None:
            self._check_sizes(self.preprocess.size)

    def _check_photographs(self, paths: Sequence[str]) -> None:
        """Decodes the photographs of `generate.project` as the packed images are, or will be."""
        from celeba_gan.images.photographs import find_photographs, read_photographs
        from celeba_gan.pipelines.generate.control_nodes import recipe_of_photographs

        if files := find_photographs(paths, "generate.project"):
            read_photographs(files, self.preprocess or recipe_of_photographs(self._load("packed_images_previous")))

    def _check_directions(self, settings: "DirectionSettings") -> None:
        """Checks the attributes that are named against the classifier that there is."""
        from celeba_gan.gan.sampling.directions import check_orthogonal_to

        dataset = self.catalog.get("attribute_classifier")
        card = dataset.card() if isinstance(dataset, ClassifierDataset) else None
        check_orthogonal_to(settings, () if card is None else card.attributes)

    def _check_sizes(self, packed: int) -> None:
        """Checks the sizes of all models, given that of the packed images in pixels."""
        from celeba_gan.evaluation.evaluate import measured_centre
        from celeba_gan.pipelines.evaluate.nodes import check_compared

        size, crop = None, None
        if self.train is not None:
            size, crop = self.train.network_size(packed), self.train.random_crop
        elif self.model is not None:
            size, crop = self.model.size, self.model.random_crop
        if self.evaluate is None or size is None:
            return
        measured_centre(size, crop, packed)
        if self.compared is not None:
            check_compared(self.compared, size)
            measured_centre(self.compared.card.size, self.compared.card.random_crop, packed)

    def known_names(self) -> list[str] | None:
        """The names of the labels that networks will be trained with; None if the images decide."""
        from celeba_gan.images.labels import LABEL, class_names

        if self.train is None:
            return None
        condition = self.train.condition
        if condition.name != "class":
            return list(condition.attributes) or ([] if condition.name == "none" else None)
        if self.preprocess is None or LABEL in self.preprocess.condition_on:
            return None
        return self._names(*_as_labelled({}, class_names(self.preprocess.condition_on)))

    def _names(self, labels: "DataFrame", classes: "DataFrame") -> list[str] | None:
        from celeba_gan.images.labels import name_labels

        if self.train is None:
            return None
        return name_labels(labels, classes, self.train.condition.name, self.train.condition.attributes, self.notes)[0]

    def check_models(self, names: Sequence[str] | None, repacked: Sequence[str] = ()) -> None:
        """Checks the models that the run reads against its settings.

        Args:
            names: Of the labels that networks will be trained with; None: not known yet.
            repacked: Why other images will be packed than those of the snapshot, a line for each reason.
        """
        from celeba_gan.gan.inputs.conditions import named_labels
        from celeba_gan.gan.networks.condition import Condition

        condition = self.model.condition if self.model is not None else None
        if self.train is not None:
            self._check_training(self.train, names, repacked)
            kind = self.train.condition.name
            if kind != "none" and names is not None:
                condition = Condition(kind=kind, names=tuple(names), sets=(), counts=(), digest="")
            known = kind == "none" or names is not None
        else:
            known = self.model is not None
        if known and self.generate is not None and self.generate.labels:
            named_labels(condition, self.generate.labels, "generate.labels")

    def _check_training(self, settings: "TrainSettings", names: Sequence[str] | None, repacked: Sequence[str]) -> None:
        """Checks the snapshot to resume, or the weights to start from."""
        from celeba_gan.gan.runs.initial import load_initial
        from celeba_gan.gan.runs.resume import check_same_run, expected_images

        if self.packed is not None:
            size, digest = self.packed.size, self.packed.digest
        elif self.preprocess is not None:
            size, digest = self.preprocess.size, None
        else:
            return  # they are known before training
        size = settings.network_size(size)
        if self.resumed is not None:
            images = expected_images(settings, size, self.resumed, digest, names)
            check_same_run(settings.identity(), images, self.resumed, self.experiment, repacked)
        elif settings.init_from is not None:
            initial = load_initial(self._load("experiments"), settings.init_from)
            images = expected_images(settings, size, initial.card, names=names)
            initial.check(settings.network, settings.latent, images)

    def check_index(self, index: "DataFrame") -> None:
        """Checks the images that will be packed, as far as they are known: some may turn out to be unreadable."""
        from celeba_gan.images.labels import LABEL, class_names

        if self.preprocess is None:
            return
        counts = index["split"].value_counts()
        values = sorted(index[LABEL].unique()) if LABEL in index else []
        labels, classes = _as_labelled(index, class_names(self.preprocess.condition_on, values))
        splits = {split: (0, int(counts.get(split, 0))) for split in SPLITS}
        self._check_images(splits, labels, classes, self.repacked(index))

    def check_packed_before(self) -> None:
        """Checks the packed images and labels of an earlier run, if preprocess would keep them."""
        from celeba_gan.images.packed import PackedImages

        packed = self._load("packed_images_previous")
        there = all(self.catalog.exists(name) for name in ("labels", "classes"))
        if there and isinstance(packed, PackedImages) and self.preprocess and packed.size == self.preprocess.size:
            self.check_packed(packed, self._load("labels"), self._load("classes"))

    def check_packed(self, packed: "PackedImages", labels: "DataFrame", classes: "DataFrame") -> None:
        """Checks the packed images and their labels, and once their checksums, unless this run's preprocess does."""
        from celeba_gan.images.labels import check_labels

        # Images that lie elsewhere are compared when they are fetched.
        if self.packed is None and self.preprocess is None and isinstance(packed.folder, Path):
            packed.verify()
        self.packed = packed
        check_labels(labels, packed.manifest)
        self._check_sizes(packed.size)
        self._check_images(packed.manifest.splits, labels, classes)

    def _check_images(
        self,
        splits: "Mapping[str, tuple[int, int]]",
        labels: "DataFrame",
        classes: "DataFrame",
        repacked: Sequence[str] = (),
    ) -> None:
        from celeba_gan.evaluation.evaluate import check_splits
        from celeba_gan.gan.sampling.directions import check_orthogonal_to
        from celeba_gan.images.labels import attribute_names, labels_as_named
        from celeba_gan.pipelines.evaluate.nodes import no_classifier

        if self.train is not None:
            self.check_models(self._names(labels, classes), repacked)
        if self.evaluate is None:
            return
        lacking = no_classifier(attribute_names(labels), splits)
        if self.generate is not None:
            check_orthogonal_to(self.generate.directions, attribute_names(labels) if lacking is None else ())
        features = self.features + (["attributes"] if lacking is None else [])
        check_splits(splits, self.evaluate, features=bool(features))
        if self.promotion is not None:
            self.promotion.check_features(features, lacking)
        for card in (self.model, self.compared.card if self.compared is not None else None):
            if card is not None and card.condition is not None:
                labels_as_named(labels, classes, card.condition.kind, card.condition.names)


def _as_labelled(index: Any, names: Sequence[str]) -> "tuple[DataFrame, DataFrame]":
    """`labels` and `classes` of images that are not packed yet; all are of class 0."""
    import pandas as pd

    return pd.DataFrame(index).assign(**{"class": 0}), pd.DataFrame({"name": list(names)})
