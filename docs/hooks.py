"""Parts of the documentation that are generated from the code, from conf and from the Makefile.

Between `<!-- generated: NAME -->` and `<!-- end of generated -->` a page has the text of the function NAME of
`GENERATED`. `python docs/hooks.py` writes it into the pages, so that they can be read without the site; the site
generates it again. The measurements in `benchmarks/` become pages, too.
"""

import re
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml
from api_outline import directives, outlines
from field_tables import allowed, anchored, cell, heading, markdown_table, sentence, shown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel
from pydantic.fields import FieldInfo

PROJECT: Final = Path(__file__).parents[1]
_GENERATED: Final = re.compile(r"(<!-- generated: ([a-z ]+) -->)\n.*?(<!-- end of generated -->)", re.S)
_ALERT: Final = re.compile(r"^> \[!([A-Z]+)\]\n(?:> \*\*(.+)\*\*\n>\n)?((?:>.*\n)+)", re.M)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the measurements in `benchmarks/` as pages."""
    for path in sorted((PROJECT / "benchmarks").glob("*.md")):
        files.append(File.generated(config, f"benchmarks/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Makes a page of the repository one of the site: its generated parts, anchors, and links between folders."""
    markdown = _GENERATED.sub(lambda part: {**GENERATED, **ON_SITE}[part[2]](), markdown)
    markdown = _ALERT.sub(_admonition, markdown)
    markdown = re.sub(r'^(#+) <a id="([^"]+)"></a>(.+)$', r"\1 \3 { #\2 }", markdown, flags=re.M)
    markdown = re.sub(r'<a id="([^"]+)"></a><code>', r'<code id="\1">', markdown)
    if page.file.src_uri.startswith("benchmarks/"):
        markdown = markdown.replace("](../docs/", "](../")
        page.meta["search"] = {"boost": 0.3}  # below the guides and the reference
    else:
        markdown = re.sub(r"\]\(\.\./((?:\.\./)*benchmarks/)", r"](\1", markdown)
    return markdown


def _admonition(alert: re.Match[str]) -> str:
    """An alert, as GitHub shows it, as what the site shows in the same way."""
    kind, title, quoted = alert.groups()
    body = "".join(f"    {line[2:]}\n" if line[2:] else "\n" for line in quoted.splitlines())
    return f"!!! {kind.lower()}" + (f' "{title}"' if title else "") + f"\n\n{body}"


def filled(markdown: str) -> str:
    """A page with its generated parts as they are now."""
    return _GENERATED.sub(lambda part: f"{part[1]}\n\n{GENERATED[part[2]]()}\n\n{part[3]}", markdown)


def write_pages() -> None:
    """Writes the generated parts into all pages, and prints which of them changed."""
    for path in sorted((PROJECT / "docs").rglob("*.md")):
        before = path.read_text(encoding="utf-8")
        if (after := filled(before)) != before:
            path.write_text(after, encoding="utf-8")
            print(f"Wrote {path.relative_to(PROJECT)}")


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
        (anchored(f"source.{field}"), ", ".join(f"`{name}`" for name in names), cell(wanted))
        for field, (wanted, names) in fields.items()
    ]
    return markdown_table(("Parameter", "Environments", "Value"), rows)


def _section(name: str, model: type[BaseModel], base: Mapping[str, Any], level: int) -> str:
    """A heading, the model's first sentence, its table, and the same for each model below it."""
    summary = (model.__doc__ or "").strip().splitlines()[0]
    parts = [heading(level, f"`{name}`", name), summary]
    if table := _table(name, model, base):
        parts.append(table)
    for field, info in model.model_fields.items():
        if (below := _submodel(info)) is not None:
            values = base.get(field, {})
            parts.append(_section(f"{name}.{field}", below, _over(info, values), min(level + 1, 4)))
            if info.description:
                parts[-1] = parts[-1].replace(f"\n\n{_first_line(below)}", f"\n\n{cell(info.description)}.", 1)
    return "\n\n".join(parts)


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _over(info: FieldInfo, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of conf/base over those that a field gives the model below it."""
    default = info.get_default(call_default_factory=True)
    return {**(default.model_dump() if isinstance(default, BaseModel) else {}), **values}


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
        rows.append((anchored(name), f"`{shown(default)}`", allowed(field, info), cell(info.description or "")))
    return markdown_table(("Parameter", "Default", "Allowed", "Description"), rows) if rows else ""


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
    return markdown_table(head, rows)


def _environment(name: str, base: Mapping[str, Any]) -> str:
    values = _effective(name)
    changed = [key for key in values if values[key] != base[key]]
    rows = [(f"[`{key}`](parameters.md#{key})", f"`{shown(values[key])}`", f"`{shown(base[key])}`") for key in changed]
    names = ", ".join(f"{key} `{value}`" for key, value in _conf(name, "globals").items())
    parts = [
        heading(2, f"`{name}`", name),
        _comment(name),
        f"Names: {names}.",
        markdown_table(("Parameter", name, "base"), rows),
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
    return re.sub(r"benchmarks/(\w+\.md)", r"[\1](../../benchmarks/\1)", joined)


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
                cell(number.meaning),
            )
            for name, number in NUMBERS.items()
            if number.group == group
        ]
        if rows:
            table = markdown_table(("Name", "Metric", "Better", "Meaning"), rows)
            parts += [heading(3, title, f"metrics-{group}"), question, table]
    return "\n\n".join(parts)


def make_targets() -> str:
    """The targets of the Makefile."""
    text = (PROJECT / "Makefile").read_text(encoding="utf-8")
    rows = [
        (f"`make {name}`", cell(sentence(words))) for name, words in re.findall(r"^([a-z-]+):.*?## (.+)$", text, re.M)
    ]
    return markdown_table(("Command", "What it does"), rows)


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
            rows.append((f"`{node.name}`", cell(" ".join(summary.split())), made))
        table = markdown_table(("Node", "What it does", "Makes"), rows)
        parts += [heading(3, f"`{name}`", f"pipeline-{name}"), table]
    return "\n\n".join(parts)


def extras() -> str:
    """The optional dependencies."""
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)["project"]["optional-dependencies"]
    rows = []
    for name, packages in found.items():
        words = re.search(rf"^{name} = \[.*\] # (.+)$", text, re.M)
        listed = "everything for development and tests" if name == "dev" else ", ".join(f"`{one}`" for one in packages)
        rows.append((f"`{name}`", listed, cell(words[1]) if words else ""))
    return markdown_table(("Extra", "Packages", "For"), rows)


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
    return markdown_table(("Dataset", "File or folder", "In MLflow"), rows)


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


GENERATED: Final[dict[str, Callable[[], str]]] = {
    "catalog": catalog,
    "environment list": environment_list,
    "environments": environments,
    "extras": extras,
    "make targets": make_targets,
    "metrics": metrics,
    "parameters": parameters,
    "pipelines": pipelines,
    "python classes": partial(outlines, "classes"),
    "python errors": partial(outlines, "errors"),
    "python functions": partial(outlines, "functions"),
    "source parameters": source_parameters,
    "storage parameters": storage_parameters,
    "tracking keys": tracking_keys,
}

ON_SITE: Final[dict[str, Callable[[], str]]] = {
    f"python {kind}": partial(directives, kind) for kind in ("classes", "errors", "functions")
}
"""Texts that only the site understands, in the place of those of `GENERATED`."""

if __name__ == "__main__":
    warnings.simplefilter("ignore")  # Kedro's, of experimental features
    write_pages()
