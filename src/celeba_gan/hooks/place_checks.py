"""Checks of the places that lie elsewhere, before a run reads or writes them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from pydantic import ValidationError

from celeba_gan.foundation.paths import is_url
from celeba_gan.foundation.wording import nearest, stage_command
from celeba_gan.storage.config import StorageSettings
from celeba_gan.storage.errors import StorageError
from celeba_gan.storage.places import Place

PACKED_FIELD: Final = "packed"
"""The field of `storage` that names the place; the others say how it is read."""

_PATIENCE: Final = 5.0  # seconds: a person waits for the check


@runtime_checkable
class _HasPlace(Protocol):
    @property
    def place(self) -> Place | None: ...


def check_places(pipeline: Pipeline, catalog: DataCatalog, conf_catalog: Mapping[str, Any]) -> None:
    """Checks that every place of a run that lies elsewhere can be reached, and written where the run writes.

    Raises:
        StorageError: A package is missing, the place cannot be reached or is refused, or an input is not there.
    """
    urls = {
        name: str(entry["filepath"])
        for name, entry in conf_catalog.items()
        if isinstance(entry, Mapping) and is_url(entry.get("filepath", "")) and name in pipeline.datasets()
    }
    for url in urls.values():
        Place(url).check_installed()
    for name in sorted(urls):
        dataset = catalog.get(name)
        place = dataset.place if isinstance(dataset, _HasPlace) else None
        if place is not None:
            place = place.with_patience(_PATIENCE)
            place.check_writable() if name in pipeline.all_outputs() else place.exists()
    for name in sorted(urls.keys() & pipeline.inputs()):
        if name in ("labels", "classes") and not catalog.exists(name):
            raise StorageError(f"{Place(urls[name])} is missing. Make it with {stage_command('preprocess')}")


def wrong_storage(runtime: Mapping[str, Any], globals_: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with `storage` in --params and in globals.yml, in words."""
    for values, where in ((runtime.get("storage"), "--params"), (globals_.get("storage"), "globals.yml")):
        if values is None:
            continue
        fields = [PACKED_FIELD, *StorageSettings.model_fields]
        if not isinstance(values, Mapping):
            yield f"storage in {where} has the fields {', '.join(fields)}: give storage.packed={values}"
            continue
        for name in values:
            if name not in fields:
                near = nearest(str(name), fields)
                yield f"There is no storage.{name} in {where}" + (
                    f"; did you mean {near!r}?" if near else f". There are: {', '.join(fields)}"
                )
        packed = values.get(PACKED_FIELD, "x")
        if not isinstance(packed, str) or not packed:
            yield f"storage.packed in {where} is {packed!r}; give a folder, or an address such as s3://BUCKET/FOLDER"
        try:
            StorageSettings.model_validate({name: values[name] for name in values if name in fields[1:]})
        except ValidationError as error:
            for one in error.errors():
                yield f"storage.{'.'.join(map(str, one['loc']))} in {where} is {one['input']!r}: {one['msg']}"
