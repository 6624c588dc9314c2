"""Refuses parameters that nothing reads, or that would write outside their folder, before anything runs."""

import difflib
import re
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from pydantic import BaseModel, ValidationError

from celeba_gan.datasets.models import NamedModelDataset
from celeba_gan.foundation.params import NAMES, spell_param
from celeba_gan.foundation.safety.secrets import mask_secrets
from celeba_gan.foundation.settings import field_at, is_none
from celeba_gan.foundation.wording import nearest
from celeba_gan.hooks.config_loader import ConfigLoader
from celeba_gan.hooks.place_checks import wrong_storage

if TYPE_CHECKING:
    from celeba_gan.sources.source import Source

# Top-level keys that the catalog reads from --params (`${runtime_params:...}`), and no pipeline reads at all.
RUNTIME_ONLY: Final = (*NAMES, "source", "storage")

# One folder name. A leading dot would hide the folder or leave it (`..`).
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")

_SHORT: Final = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100


class ParameterError(ValueError):
    """Invalid parameters; the message names each with what is allowed and what to do."""


class FolderError(ValueError):
    """The project's folder has a name that Kedro cannot read; the message says which and what to do."""


def check_folder(conf: Path) -> None:
    """Checks the path of the project, or of its configuration.

    Raises:
        FolderError: It has square brackets.
    """
    if "[" in str(conf):
        raise FolderError(
            f"Kedro finds no configuration in {conf}: it reads [ and ] in a path as a pattern. Rename the folder, or "
            "move the project to one without square brackets"
        )


class ParameterGuard:
    """Checks all parameters, of the files and of --params, whichever pipeline is run.

    Kedro by itself does not see a misspelt top-level key, and validates only the sections of the pipelines that run.
    """

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Checks as soon as the configuration can be read. Commands that read none stay fast.

        Raises:
            FolderError: The configuration is in a folder that Kedro cannot read.
            ParameterError: Lists everything that is wrong.
        """
        from kedro.framework.project import pipelines

        loader = cast("ConfigLoader", context.config_loader)
        check_folder(Path(loader.conf_source))
        check_environment(loader.env, loader.conf_source, loader.environments)
        runtime: Mapping[str, Any] = loader.runtime_params or {}
        parameters = _merged(loader, runtime)
        registered = dict(pipelines)
        inputs = {name for pipeline in registered.values() for name in pipeline.inputs()}
        sections = {name.removeprefix("params:").split(".")[0] for name in inputs if name.startswith("params:")}
        problems = [
            *_unread_keys(parameters, runtime, sections),
            *_left_open(runtime),
            *_wrong_names(runtime, loader["globals"]),
            *_wrong_source(runtime, loader),
            *wrong_storage(runtime, loader["globals"]),
            *_fixed_models(parameters, runtime),
            *_wrong_values(parameters, registered),
            *_wrong_size(parameters),
        ]
        if problems:
            raise ParameterError(mask_secrets("\n".join(problems)))

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Finds the models that the pipeline reads by name, before any node runs.

        Raises:
            NamedModelError: There is no such model; the message lists those there are.
            ParameterError: A model is named to be evaluated, and other stages use the experiment's own.
        """
        for name in pipeline.inputs():
            dataset = catalog.get(name)
            named = dataset.load() if isinstance(dataset, NamedModelDataset) else None
            others = sorted(
                node.name
                for node in pipeline.nodes
                if "evaluate" not in node.tags and "training_run" in {*node.inputs, *node.outputs}
            )
            if name == "evaluated_model" and named is not None and others:
                raise ParameterError(
                    f"evaluate.model names the model to evaluate, and this run also has {', '.join(others)}, which use "
                    "the experiment's own; run kedro run --pipelines evaluate --params evaluate.model=..."
                )


def check_environment(wanted: str | None, conf: str | Path, known: Iterable[str]) -> None:
    """Checks that an environment has a folder; Kedro's own message names neither the others nor the option.

    Raises:
        ParameterError: It has none.
    """
    known = sorted(known)
    if wanted and wanted not in known:
        raise ParameterError(f"There is no environment {wanted!r} in {conf}{_instead(wanted, known)}")


def _merged(loader: ConfigLoader, runtime: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the files and of --params.

    Raises:
        ParameterError: One has a list where the other has named fields, which cannot be merged.
    """
    try:
        parameters: dict[str, Any] = loader["parameters"]
    except TypeError as error:
        read: dict[str, Any] = {}
        names = dict.fromkeys([str(loader.base_env), str(loader.env or loader.default_run_env)])
        for where, given in [
            *((f"{name}/parameters.yml", loader.read_file(name, "parameters.yml")) for name in names),
            ("--params", runtime),
        ]:
            clashes = [
                f"{name} in {where} is {_written(value)}, but {name} has "
                f"{'fields of its own' if isinstance(before, Mapping) else 'a list'} in the parameters.yml files"
                for name, value, before in _clashes(given, read)
            ]
            if clashes:
                raise ParameterError("\n".join(clashes)) from error
            read = {**read, **given}
        raise ParameterError(f"The parameters.yml files do not fit each other: {error}") from error
    return parameters


def _clashes(given: Mapping[str, Any], before: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any, Any]]:
    """Names, values and earlier values where one is a list and the other a mapping."""
    for key in given:
        one, other, name = given[key], before.get(key), f"{prefix}{key}"
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _clashes(one, other, f"{name}.")
        elif (
            {isinstance(one, list), isinstance(other, list)}
            == {
                isinstance(one, Mapping),
                isinstance(other, Mapping),
            }
            == {True, False}
        ):
            yield name, one, other


def _left_open(values: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    """`???` is OmegaConf's word for a value that is not known yet: it would leave that of the files."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _left_open(value, f"{prefix}{key}.")
        elif value == "???":
            yield f"{prefix}{key} is '???', which stands for no value; give one, or leave it out"


def _unread_keys(parameters: Mapping[str, Any], runtime: Mapping[str, Any], sections: set[str]) -> Iterable[str]:
    for key in map(str, parameters):
        if key in sections or key.startswith("_"):  # the latter are templates for other keys
            continue
        if key not in RUNTIME_ONLY:
            where = "in --params" if key in runtime else "in the parameters.yml files"
            allowed = sorted(sections | (set(RUNTIME_ONLY) if key in runtime else set()))
            yield f"No stage reads the parameter {key!r} {where}{_instead(key, allowed)}"
        elif key not in runtime:
            place = "globals.yml of the environment" if key != "source" else "catalog.yml, as the filepath of celeba,"
            yield (
                f"{key!r} in the parameters.yml files has no effect, since the catalog cannot read them; "
                f"write it into {place} or give it with --params"
            )


def _wrong_names(runtime: Mapping[str, Any], globals_: Mapping[str, Any]) -> Iterable[str]:
    for key in globals_:
        if key not in NAMES and (near := difflib.get_close_matches(key, NAMES, n=1)):
            yield f"globals.yml has {key!r}; did you mean {near[0]!r}?"
    for key in NAMES:
        name = runtime[key] if key in runtime else globals_.get(key)
        where = "--params" if key in runtime else "globals.yml"
        if name is not None and not isinstance(name, str):
            yield f"{key} in {where} is {name!r}, which is not text; {_quoted(key, where)}"
        elif name is None or not _NAME.fullmatch(name):
            given = "nothing" if name is None else repr(name)
            yield (
                f"{key} in {where} names a folder: letters, digits, dots, underscores and hyphens, not beginning with "
                f"a dot; it is {given}"
            )
        elif key == "experiment" and name == "datasets":
            yield f"experiment is {name!r}, which is the folder of the reports on data; give it another name"


def _wrong_source(runtime: Mapping[str, Any], loader: ConfigLoader) -> Iterable[str]:
    """Every field of `source` must be one that the environment's entry `celeba` reads."""
    if "source" not in runtime:
        return
    source, classes = runtime["source"], _sources(loader)
    fields = {field: wanted for one in classes.values() for field, wanted in one.parameters.items()}
    if not isinstance(source, Mapping):
        yield f"source in --params has the fields {', '.join(fields)}: give source.path={source}"
        return
    entry = loader["catalog"].get("celeba", {})
    read = {"path": entry.get("filepath"), **(entry.get("options") or {})}
    for field, value in source.items():
        if field not in fields:
            yield f"There is no parameter source.{field} in --params{_instead(field, fields)}"
        elif value is None:
            yield f"source.{field} in --params is empty; give {fields[field]}"
        elif not isinstance(value, str):
            quoted = _quoted(f"source.{field}", "--params")
            yield f"source.{field} in --params is {value!r}, which is not text; {quoted}"
        elif read.get(field) != value:
            kind = str(entry.get("source")).rpartition(".")[2]
            wanted = " or ".join(f"--env {name}" for name, one in classes.items() if field in one.parameters)
            yield (
                f"source.{field}={value} has no effect: in this environment the catalog's celeba is a {kind} that does "
                f"not use it; add {wanted}"
            )


def _sources(loader: ConfigLoader) -> dict[str, "type[Source]"]:
    """The sources of photographs of the environments that name one in their catalog."""
    from kedro.utils import load_obj

    entries = {name: loader.read_file(name, "catalog.yml").get("celeba", {}) for name in loader.environments}
    return {name: load_obj(entry["source"]) for name, entry in entries.items() if "source" in entry}


def _fixed_models(parameters: Mapping[str, Any], runtime: Mapping[str, Any]) -> Iterable[str]:
    """Names of models are read by the catalog, and it can read --params alone."""
    section, given = parameters.get("evaluate"), runtime.get("evaluate")
    in_params = given if isinstance(given, Mapping) else {}
    in_files = section if isinstance(section, Mapping) else {}
    keys = ["model", "compare_with"]
    if any(not is_none(in_params.get(key)) for key in keys) and in_files.get("checkpoint") == "best":
        keys.append("checkpoint")
    for key in keys:
        model = in_files.get(key)
        if not is_none(model) and in_params.get(key) is None:
            yield (
                f"evaluate.{key} is {model!r} in the parameters.yml files, which the catalog cannot read; give it with "
                f"--params {spell_param(f'evaluate.{key}', model)}"
            )


def _wrong_values(parameters: Mapping[str, Any], pipelines: dict[str, Any]) -> Iterable[str]:
    """Validates every section against the model that a node of any pipeline declares for it."""
    from kedro.validation import TypeExtractor

    for section, model in sorted(TypeExtractor(pipelines).extract_types_from_pipelines().items()):
        if section in parameters and issubclass(model, BaseModel):
            try:
                model.model_validate(parameters[section])
            except ValidationError as error:
                yield from _findings(section, model, error)


def _wrong_size(parameters: Mapping[str, Any]) -> Iterable[str]:
    """The network must exist at the size that preprocess makes, or that the random crop leaves of it."""
    from celeba_gan.gan.networks.config import NetworkError
    from celeba_gan.gan.settings import TrainSettings
    from celeba_gan.images.config import PreprocessSettings

    try:
        packed = PreprocessSettings.model_validate(parameters.get("preprocess", {})).size
        TrainSettings.model_validate(parameters.get("train", {})).network_size(packed)
    except NetworkError as error:
        yield str(error)
    except ValidationError:
        return  # reported by _wrong_values


def _findings(section: str, model: type[BaseModel], error: ValidationError) -> Iterable[str]:
    """Pydantic's findings, those on the alternatives of one value in one."""
    found: dict[tuple[str, ...], list[Any]] = {}
    for details in error.errors():
        found.setdefault(tuple(field_at(model, details["loc"])[0]), []).append(details)
    for alternatives in found.values():
        details = alternatives[0]
        if all(one["input"] is details["input"] for one in alternatives):
            start = "Input should be "
            others = (one["msg"].removeprefix(start) for one in alternatives[1:])
            yield _finding(section, model, {**details, "msg": ", or ".join([details["msg"], *others])})
        else:  # items of a list
            yield from (_finding(section, model, one) for one in alternatives)


def _finding(section: str, model: type[BaseModel], details: Mapping[str, Any]) -> str:
    """One of pydantic's findings, with the parameter's name as --params spells it."""
    path, model = field_at(model, details["loc"])
    name, message = ".".join([section, *path]), details["msg"].removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        return f"There is no parameter {name}{_instead(path[-1], model.model_fields)}"
    if details["type"] == "missing":
        return f"{name} is missing; give it in parameters.yml or with --params"
    value = details["input"]
    if details["type"] == "string_type" and not isinstance(value, Mapping | list):
        return (
            f"{name} is {_written(value)}, which is not text; {_quoted(name, '--params')}, or in quotes in "
            "parameters.yml"
        )
    if details["type"] in ("model_type", "model_attributes_type"):
        fields = ", ".join(model.model_fields)
        return f"{name} is {_written(value)}, but has fields of its own; give {name}.FIELD=..., one of {fields}"
    if details["type"] == "value_error" and isinstance(value, Mapping):  # fields that do not agree
        return f"{name}: {message}"
    return f"{name} is {_written(value)}: {message}"


def _written(value: object) -> str:
    """A value as it is written in Python, cut to a length that can be read."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # a number of too many digits, which Python does not write
        return "a number of thousands of digits"


def _quoted(name: str, where: str) -> str:
    """How text is written that would be read as something else."""
    written = f"{name}: 'TEXT'" if where == "globals.yml" else f"\"{name}='TEXT'\""
    return f"write it in quotes: {written}"


def _instead(word: str, allowed: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest allowed one, and all of them."""
    allowed = list(allowed)
    near = nearest(word, allowed)
    return (f"; did you mean {near!r}?" if near else ".") + f" There are: {', '.join(allowed)}"
