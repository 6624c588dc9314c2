"""Parts of the documentation that are generated when the site is built, so that they cannot differ from the code.

A page that holds `<!-- generated: NAME -->` gets the text of the function NAME of `GENERATED` in its place. The
measurements in `benchmarks/` become pages, too.
"""

import re
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel
from pydantic.fields import FieldInfo

PROJECT: Final = Path(__file__).parents[1]
_MARK: Final = re.compile(r"<!-- generated: ([a-z ]+) -->")
_SUFFIX_UNITS: Final = {"kimg": "thousand images", "gb": "GB", "s": "seconds", "ms": "milliseconds"}
_WORD_UNITS: Final = (
    (r"angle in degrees|in degrees", "degrees"),
    (r"in pixels|pixels, ", "pixels"),
    (r"standard deviations", "standard deviations"),
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the measurements in `benchmarks/` as pages."""
    for path in sorted((PROJECT / "benchmarks").glob("*.md")):
        files.append(File.generated(config, f"benchmarks/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fills the marks, and makes links that lead from one folder of the repository to another lead through the site."""
    if page.file.src_uri.startswith("benchmarks/"):
        markdown = markdown.replace("](../docs/", "](../")
        page.meta["search"] = {"boost": 0.3}  # below the guides and the reference
    else:
        markdown = markdown.replace("](../../benchmarks/", "](../benchmarks/")
    return _MARK.sub(lambda mark: GENERATED[mark[1]](), markdown)


def sections() -> dict[str, type[BaseModel]]:
    """The typed model of each section of the parameters, in the order of the stages."""
    from kedro.validation import TypeExtractor

    found = TypeExtractor(_pipelines()).extract_types_from_pipelines()
    order = ("ingest", "preprocess", "train", "evaluate", "generate", "export")
    return {name: found[name] for name in sorted(found, key=order.index)}


def _pipelines() -> dict[str, Any]:
    from celeba_gan.pipeline_registry import register_pipelines

    return register_pipelines()


def parameters() -> str:
    """Every parameter of every section, a table for each model."""
    base = _conf("base", "parameters")
    parts = []
    for name, model in sections().items():
        parts.append(_section(name, model, base.get(name, {}), 2))
    return "\n\n".join(parts)


def storage_parameters() -> str:
    """The parameters of packed images that lie elsewhere."""
    from celeba_gan.storage.config import StorageSettings

    return _table("storage", StorageSettings, {})


def tracking_keys() -> str:
    """The keys of `mlflow.yml`."""
    from celeba_gan.tracking.config import TrackingSettings

    return _table("mlflow", TrackingSettings, {})


def source_parameters() -> str:
    """The fields of `source`, which the catalog reads."""
    from kedro.utils import load_obj

    fields: dict[str, tuple[str, list[str]]] = {}
    for environment in environments_by_name():
        source = _conf(environment, "catalog").get("celeba", {}).get("source")
        if source is None or "runtime_params:source" not in str(_conf(environment, "catalog")):
            continue
        for field, wanted in load_obj(source).parameters.items():
            fields.setdefault(field, (wanted, []))[1].append(environment)
    rows = [
        (_anchored(f"source.{field}"), ", ".join(f"`{name}`" for name in names), _cell(wanted))
        for field, (wanted, names) in fields.items()
    ]
    return _markdown_table(("Parameter", "Environments", "Value"), rows)


def _section(name: str, model: type[BaseModel], base: Mapping[str, Any], level: int) -> str:
    """A heading, the model's first sentence, its table, and the same for each model below it."""
    summary = (model.__doc__ or "").strip().splitlines()[0]
    parts = [f"{'#' * level} `{name}` {{ #{name} }}", summary]
    if table := _table(name, model, base):
        parts.append(table)
    for field, info in model.model_fields.items():
        if (below := _submodel(info)) is not None:
            values = base.get(field, {})
            parts.append(_section(f"{name}.{field}", below, _over(info, values), min(level + 1, 4)))
            if info.description:
                parts[-1] = parts[-1].replace(f"\n\n{_first_line(below)}", f"\n\n{_cell(info.description)}.", 1)
    return "\n\n".join(parts)


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _over(info: FieldInfo, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of conf/base over those that a field gives the model below it."""
    return {**(info.default.model_dump() if isinstance(info.default, BaseModel) else {}), **values}


def _submodel(info: FieldInfo) -> type[BaseModel] | None:
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _table(prefix: str, model: type[BaseModel], base: Mapping[str, Any]) -> str:
    rows = []
    for field, info in model.model_fields.items():
        if _submodel(info) is not None:
            continue
        name = f"{prefix}.{field}"
        default = base[field] if field in base else info.get_default(call_default_factory=True)
        rows.append((_anchored(name), f"`{_shown(default)}`", _allowed(field, info), _cell(info.description or "")))
    return _markdown_table(("Parameter", "Default", "Allowed", "Description"), rows) if rows else ""


def _allowed(field: str, info: FieldInfo) -> str:
    """Type, range and unit of a field in words."""
    limits = dict(_limits([*info.metadata, *_inner_metadata(info.annotation)]))
    words = list(dict.fromkeys(_kinds(info.annotation, limits)))
    text = " or ".join(", ".join(words).rsplit(", ", 1)) if len(words) > 1 else words[0]
    unit = _unit(field, info)
    return text if unit is None else f"{text} ({unit})"


def _kinds(annotation: Any, limits: Mapping[str, Any]) -> Iterator[str]:
    """Each kind of value that an annotation allows, with its limits."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _kinds(parts[0], {**limits, **dict(_limits(parts[1:]))})
    elif origin in (Union, UnionType):
        for part in sorted(parts, key=lambda part: part is NoneType):
            yield from _kinds(part, limits)
    elif origin is Literal:
        yield from (f"`{value}`" for value in parts)
    elif origin is list:
        (inner,) = parts
        yield "one or more of " + ", ".join(_kinds(inner, {})) if get_origin(inner) is Literal else "list of names"
    elif annotation is bool:
        yield from ("`true`", "`false`")
    elif annotation is NoneType:
        yield "`null`"
    else:
        kind = {int: "integer", float: "number", str: "text"}[annotation]
        yield f"{kind}{_range(limits) if annotation is not str else ''}"


def _range(limits: Mapping[str, Any]) -> str:
    """`in [1, 100]`, with round brackets where an end is not allowed."""
    low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    steps = f", multiple of {limits['multiple_of']}" if "multiple_of" in limits else ""
    if low is None and high is None:
        return steps
    begin = "(−∞" if low is None else f"{'[' if 'ge' in limits else '('}{_number(low)}"
    end = "∞)" if high is None else f"{_number(high)}{']' if 'le' in limits else ')'}"
    return f" in&nbsp;{begin},&nbsp;{end}{steps}"


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _limits(metadata: Any) -> Iterator[tuple[str, Any]]:
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from _limits(one.metadata)
        for name in ("ge", "gt", "le", "lt", "multiple_of"):
            if getattr(one, name, None) is not None:
                yield name, getattr(one, name)


def _inner_metadata(annotation: Any) -> list[Any]:
    """Limits of the alternatives of a union, such as those of the number in `8 to 100, or none`."""
    return [meta for part in get_args(annotation) if get_origin(part) is Annotated for meta in get_args(part)[1:]]


def _unit(field: str, info: FieldInfo) -> str | None:
    """The unit of a number, from the ending of its name or from its description."""
    if not {int, float} & {part for part in (info.annotation, *get_args(info.annotation)) if isinstance(part, type)}:
        return "pixels" if field == "crop" else None
    ending = field.rpartition("_")[2]
    if ending in _SUFFIX_UNITS and (field == "kimg" or "_" in field):
        return _SUFFIX_UNITS[ending]
    if field == "resume_from":
        return _SUFFIX_UNITS["kimg"]
    found = (unit for pattern, unit in _WORD_UNITS if re.search(pattern, info.description or ""))
    return next(found, None)


def environments_by_name() -> list[str]:
    """All environments; base first."""
    found = sorted(path.name for path in (PROJECT / "conf").iterdir() if path.is_dir() and path.name != "local")
    return ["base", *(name for name in found if name != "base")]


def environments() -> str:
    """What each environment is for, and what it changes against base."""
    base = _effective("base")
    return "\n\n".join(_environment(name, base) for name in environments_by_name() if name != "base")


def environment_list() -> str:
    """A line for each environment."""
    rows = []
    for name in environments_by_name():
        values = _effective(name)
        kimg, size = values["train.kimg"], values["preprocess.size"]
        network, objective = values["train.network.name"], values["train.objective.name"]
        link = f"[`{name}`](#{name})" if name != "base" else "`base`"
        rows.append((link, _source(name), f"{size}×{size}", f"`{objective}`", f"`{network}`", f"{kimg:,g}"))
    head = ("Environment", "Images", "Size", "Objective", "Networks", "Thousand images")
    return _markdown_table(head, rows)


def _environment(name: str, base: Mapping[str, Any]) -> str:
    values = _effective(name)
    changed = [key for key in values if values[key] != base[key]]
    rows = [
        (f"[`{key}`](parameters.md#{key})", f"`{_shown(values[key])}`", f"`{_shown(base[key])}`") for key in changed
    ]
    names = ", ".join(f"{key} `{value}`" for key, value in _conf(name, "globals").items())
    parts = [
        f"## `{name}` {{ #{name} }}",
        _comment(name),
        f"Names: {names}.",
        _markdown_table(("Parameter", name, "base"), rows),
    ]
    return "\n\n".join(parts)


def _effective(environment: str) -> dict[str, Any]:
    """All parameters of an environment, flattened, with the defaults of the models."""
    base, own = _conf("base", "parameters"), _conf(environment, "parameters")
    found: dict[str, Any] = {}
    for name, model in sections().items():
        merged = _merged(base.get(name, {}), own.get(name, {}))
        found.update(_flat(name, model.model_validate(merged).model_dump()))
    return found


def _source(environment: str) -> str:
    catalog = _conf(environment, "catalog") or _conf("base", "catalog")
    kind = str(catalog["celeba"]["source"]).rpartition(".")[2]
    return {"DrawnPortraits": "synthetic portraits", "CelebA": "CelebA", "ImageFolder": "a folder or zip"}.get(
        kind, kind
    )


def _comment(environment: str) -> str:
    """The comment at the top of an environment's parameters."""
    lines = (PROJECT / "conf" / environment / "parameters.yml").read_text(encoding="utf-8").splitlines()
    text = []
    for line in lines:
        if not line.startswith("#"):
            break
        text.append(line.removeprefix("#").strip())
    joined = re.sub(r"(--params \S+?)(\.?(?: |$))", r"`\1`\2", " ".join(text))
    return re.sub(r"benchmarks/(\w+\.md)", r"[\1](../benchmarks/\1)", joined)


def metrics() -> str:
    """Every number of an evaluation, a table for each group."""
    from celeba_gan.evaluation.metrics.registry import METRICS, NUMBERS
    from celeba_gan.reporting.evaluation.glossary import GROUPS

    in_features = ("features", "training features", "class probabilities")
    of_features = {number.name for metric in METRICS if metric.needs in in_features for number in metric.numbers}
    parts = []
    for group, (title, question) in GROUPS.items():
        rows = [
            (
                f"`{name}_…`" if name in of_features else f"`{name}`",
                number.label,
                number.target or {"less": "less", "more": "more", None: "–"}[number.direction],
                _cell(number.meaning),
            )
            for name, number in NUMBERS.items()
            if number.group == group
        ]
        if rows:
            table = _markdown_table(("Name", "Metric", "Better", "Meaning"), rows)
            parts += [f"### {title} {{ #metrics-{group} }}", question, table]
    return "\n\n".join(parts)


def make_targets() -> str:
    """The targets of the Makefile."""
    text = (PROJECT / "Makefile").read_text(encoding="utf-8")
    rows = [
        (f"`make {name}`", _cell(_sentence(words))) for name, words in re.findall(r"^([a-z-]+):.*?## (.+)$", text, re.M)
    ]
    return _markdown_table(("Command", "What it does"), rows)


def pipelines() -> str:
    """Each pipeline with its nodes."""
    parts = []
    for name, pipeline in _pipelines().items():
        if name == "__default__":
            continue
        rows = []
        for node in pipeline.nodes:
            summary = (node.func.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
            made = ", ".join(f"`{output}`" for output in node.outputs) or "prints"
            rows.append((f"`{node.name}`", _cell(" ".join(summary.split())), made))
        parts += [f"### `{name}` {{ #pipeline-{name} }}", _markdown_table(("Node", "What it does", "Makes"), rows)]
    return "\n\n".join(parts)


def extras() -> str:
    """The optional dependencies."""
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)["project"]["optional-dependencies"]
    rows = []
    for name, packages in found.items():
        words = re.search(rf"^{name} = \[.*\] # (.+)$", text, re.M)
        listed = "everything for development and tests" if name == "dev" else ", ".join(f"`{one}`" for one in packages)
        rows.append((f"`{name}`", listed, _cell(words[1]) if words else ""))
    return _markdown_table(("Extra", "Packages", "For"), rows)


def catalog() -> str:
    """Every entry of the catalog with its file."""
    from kedro.config import OmegaConfigLoader

    from celeba_gan.datasets.models import reporting_folder

    warnings.filterwarnings("ignore", message="register_new_resolver")  # in Kedro itself
    loader = OmegaConfigLoader(
        str(PROJECT / "conf"), base_env="base", default_run_env="base",
        runtime_params={"dataset": "<dataset>", "experiment": "<experiment>"},
        custom_resolvers={"reporting_folder": reporting_folder},
    )  # fmt: skip
    rows = []
    for name, entry in loader["catalog"].items():
        if name.startswith("_") or name.endswith("_previous"):
            continue
        logged = (entry.get("metadata", {}).get("mlflow") or {}).get("log", "")
        rows.append((f"`{name}`", f"`{entry['filepath']}`", logged))
    return _markdown_table(("Dataset", "File or folder", "In MLflow"), rows)


def _conf(environment: str, name: str) -> dict[str, Any]:
    """A file of an environment; empty if it has none."""
    path = PROJECT / "conf" / environment / f"{name}.yml"
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = _merged(found[key], value) if both else value
    return found


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}.{key}", value)
        else:
            yield f"{prefix}.{key}", value


def _shown(value: Any) -> str:
    """A value as it is written in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _anchored(name: str) -> str:
    """A parameter's name, to which a link can lead, and which breaks after its dots and underscores."""
    breakable = re.sub("([._])", r"\1<wbr>", name)
    return f'<code id="{name}">{breakable}</code>'


def _sentence(words: str) -> str:
    """Text that begins with a capital, unless it begins with a value, as in `null: no limit`."""
    is_value = re.match(r"(null|none|auto|true|false)\b|\w+_|\w+, \w+_", words)
    return words if is_value else words[0].upper() + words[1:]


def _cell(text: str) -> str:
    """Text for a cell of a table."""
    return _sentence(" ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")) if text else ""


def _markdown_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


GENERATED: Final[dict[str, Callable[[], str]]] = {
    "catalog": catalog,
    "environment list": environment_list,
    "environments": environments,
    "extras": extras,
    "make targets": make_targets,
    "metrics": metrics,
    "parameters": parameters,
    "pipelines": pipelines,
    "source parameters": source_parameters,
    "storage parameters": storage_parameters,
    "tracking keys": tracking_keys,
}
