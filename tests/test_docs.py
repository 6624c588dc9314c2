"""The documentation: it builds, loads nothing from elsewhere, and names only commands and parameters that exist."""

import ast
import importlib
import importlib.util
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from kedro.framework.project import pipelines
from pydantic import BaseModel

import celeba_gan
from celeba_gan.cli import run
from celeba_gan.foundation.params import NAMES, read_params
from celeba_gan.sources.celeba import CelebA
from celeba_gan.sources.folder import ImageFolder
from celeba_gan.storage.config import StorageSettings
from kedro_here import configure

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), REPOSITORY / "README.md"])
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CODE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$|^((?:    [^\n]*\n)+)|`([^`\n]+)`", re.M | re.S)
COMMAND = re.compile(r"(?:kedro run|-m celeba_gan(?= --)|make run ARGS=\"(?=[^\"]*\"$))(.*)")
PARAMETER = re.compile(
    r"(?<![\w./\"'(-])(ingest|preprocess|train|evaluate|generate|export|storage|source)\.([a-z]\w*(?:\.[a-z]\w*)*)(?![\w(])"
)


def page_id(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def code_of(path: Path) -> Iterator[str]:
    """The code of a page: fenced, indented and inline; lines that a backslash continues are joined."""
    text = re.sub(r"^> ?", "", path.read_text(encoding="utf-8"), flags=re.M)  # code in alerts, too
    for match in CODE.finditer(text):
        language, fenced, indented, inline = match[2], match[3], match[4], match[5]
        if language not in ("python", "text"):
            yield re.sub(r"\\\n\s*", "", fenced or indented or inline or "")


def commands_of(path: Path) -> Iterator[list[str]]:
    """The arguments of each `kedro run` of a page."""
    for code in code_of(path):
        for line in code.splitlines():
            if (match := COMMAND.search(line)) is not None:
                yield shlex.split(match[1].removesuffix('"') if "ARGS=" in line else match[1], comments=True)


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    sys.path.insert(0, str(DOCS))  # as mkdocs does
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sections(hooks: ModuleType) -> dict[str, type[BaseModel]]:
    configure()
    found: dict[str, type[BaseModel]] = hooks.sections()
    return found


@pytest.fixture(scope="module")
def known(sections: dict[str, type[BaseModel]]) -> set[str]:
    """Every parameter, and every group of them."""
    names = {*NAMES, "storage.packed", *(f"storage.{name}" for name in StorageSettings.model_fields)}
    names |= {f"source.{name}" for source in (CelebA, ImageFolder) for name in source.parameters}
    for section, model in sections.items():
        names.update(name for name, _ in named_in_schema(section, model.model_json_schema()))
    return names


def named_in_schema(prefix: str, schema: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Names below a JSON schema, and whether each is a group: another way to them than that of the pages."""
    definitions = schema.get("$defs", {})

    def walk(name: str, part: dict[str, Any]) -> Iterator[tuple[str, bool]]:
        part = definitions[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        fields = part.get("properties", {})
        yield name, bool(fields)
        for field, below in fields.items():
            yield from walk(f"{name}.{field}", below)

    yield from walk(prefix, schema)


def merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    both = {key for key in base if isinstance(base[key], dict) and isinstance(own.get(key), dict)}
    return {**base, **own, **{key: merged(base[key], own[key]) for key in both}}


def parameters_file(environment: str) -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / "conf" / environment / "parameters.yml").read_text(encoding="utf-8")) or {}


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_command_is_accepted(path: Path, sections: dict[str, type[BaseModel]], known: set[str]) -> None:
    options = {name for option in run.params for name in option.opts}
    nodes = {node.name for name in pipelines for node in pipelines[name].nodes}
    text = path.read_text(encoding="utf-8")
    for arguments in commands_of(path):
        given = dict(zip(arguments[::2], arguments[1::2], strict=False))
        assert {name for name in arguments if name.startswith("-")} <= options, arguments
        environment = given.get("--env", "base")
        is_there = (REPOSITORY / "conf" / environment).is_dir()
        assert is_there or environment == "NAME" or f"conf/{environment}" in text, (
            arguments
        )  # which the page has one make
        assert set(given.get("--pipelines", "train").split(",")) <= set(pipelines), arguments
        assert given.get("--nodes", "train.train_gan") in nodes, arguments
        if not is_there or "--params" not in given:
            continue
        typed = read_params(given["--params"], sections)
        assert {name for name in typed if name not in (*sections, *NAMES, "source", "storage")} == set(), arguments
        values = merged(merged(parameters_file("base"), parameters_file(environment)), typed)
        for section in set(typed) & set(sections) if path.name != "extend.md" else ():  # tests/test_extending.py does
            sections[section].model_validate(values[section])


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_parameter_that_is_named_exists(path: Path, known: set[str]) -> None:
    nodes = {node.name for name in pipelines for node in pipelines[name].nodes}
    named = {match[0] for code in code_of(path) for match in PARAMETER.finditer(code)}
    examples = {"train.network.mlp.width"} if path.name == "extend.md" else set()
    refused = set(re.findall(r"There is no parameter ([\w.]*\w)", path.read_text(encoding="utf-8")))  # as a page shows
    assert named - known - nodes - examples - refused == set()


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_target_of_make_exists(path: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    named = {match[1] for code in code_of(path) for match in re.finditer(r"(?m)^ *make ([a-z-]+)", code)}
    assert named <= targets


@pytest.mark.parametrize(
    "path", [path for path in PAGES if "```python" in path.read_text(encoding="utf-8")], ids=page_id
)
def test_python_examples_compile_and_import_what_exists(path: Path) -> None:
    blocks = re.findall(r"^( *)```python\n(.*?)^ *```$", path.read_text(encoding="utf-8"), re.M | re.S)
    assert blocks
    for _, block in blocks:
        try:
            tree = ast.parse(textwrap.dedent(block))
        except SyntaxError:
            assert path.name == "extend.md"  # parts of files, which tests/test_extending.py puts into their places
            continue
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.ImportFrom)
                and str(node.module).startswith("celeba_gan")
                and path.name != "extend.md"
            ):
                assert all(hasattr(importlib.import_module(str(node.module)), name.name) for name in node.names)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "celeba_gan":
                assert hasattr(celeba_gan, node.attr), node.attr


def test_commands_and_parameters_are_found_at_all(known: set[str]) -> None:
    guide = DOCS / "how-to" / "own-images.md"
    assert ["--env", "folder", "--params", "source.path=/my/faces"] in list(commands_of(guide))
    assert any("train.condition.name=class" in " ".join(arguments) for arguments in commands_of(guide))
    assert sum(len(list(commands_of(path))) for path in PAGES) > 60
    assert {"train.penalty.r1.weight", "train.network.dcgan", "source.download", "storage.cache_gb"} <= known


def test_every_parameter_is_on_its_page(hooks: ModuleType, sections: dict[str, type[BaseModel]]) -> None:
    text = hooks.parameters()
    rows = dict(re.findall(r'^\| <a id="([\w.]+)"></a><code>.*?</code> \| (.*) \|$', text, re.M))
    groups = set(re.findall(r'^#+ <a id="([\w.]+)"></a>', text, re.M))
    assert len(rows) == text.count("</code> |")
    for section, model in sections.items():
        for name, is_group in named_in_schema(section, model.model_json_schema()):
            assert (name in groups) if is_group else all(cell.strip() for cell in rows[name].split("|")[:2]), name


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("train.kimg", "`150` | number in&nbsp;(0,&nbsp;10,000,000] (thousand images)"),
        ("train.n_critic", "`2` | integer in&nbsp;[1,&nbsp;100]"),
        ("train.weight_clip", "`null` | number in&nbsp;(0,&nbsp;1,000,000] or `null`"),
        ("train.penalty.gradient_penalty.weight", "`10` | number in&nbsp;[0,&nbsp;1,000,000]"),
        ("preprocess.crop", "`178` | integer in&nbsp;[8,&nbsp;65,536] or `none` (pixels)"),
        ("train.compile", "`auto` | `true`, `false` or `auto`"),
        ("generate.film.formats", "`[gif]` | one or more of `gif`, `webp`, `mp4`"),
        ("generate.labels", "`[]` | list of names"),
        ("generate.film.frame_ms", "`100` | integer in&nbsp;[10,&nbsp;10,000] (milliseconds)"),
        ("train.network.article.width", "`1024` | integer in&nbsp;[16,&nbsp;4,096], multiple of 16"),
    ],
)
def test_a_row_has_default_range_and_unit(hooks: ModuleType, name: str, row: str) -> None:
    (line,) = [line for line in hooks.parameters().splitlines() if f'id="{name}"' in line]
    assert f"</code> | {row} |" in line


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_generated_parts_are_up_to_date(hooks: ModuleType, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("<!-- generated: ") == text.count("<!-- end of generated -->")
    assert hooks.filled(text) == text, f"{page_id(path)} is stale: run `python docs/hooks.py`, which writes it"


def test_a_stale_part_is_written_again_and_nothing_else(hooks: ModuleType) -> None:
    page = "# Title\n\n<!-- generated: make targets -->\nSTALE\n<!-- end of generated -->\n\nThe end\n"
    once = hooks.filled(page)
    assert "STALE" not in once
    assert "| `make run` |" in once
    assert once.startswith("# Title\n\n<!-- generated: make targets -->\n\n|")
    assert once.endswith("|\n\n<!-- end of generated -->\n\nThe end\n")
    assert hooks.filled(once) == once


def test_the_python_api_shows_signatures_and_docstrings(hooks: ModuleType) -> None:
    assert set(re.findall(r'<a id="celeba_gan\.api\.(\w+)">', hooks.outlines("functions"))) == {
        name for name in celeba_gan.__all__ if inspect.isfunction(getattr(celeba_gan, name))
    }
    classes = hooks.outlines("classes")
    assert "    def sample(\n        self, count: int = 1, seed: int = 0" in classes
    assert '    finished: bool\n    """Whether training was."""' in classes
    assert "    @property\n    def names(self)" in classes
    assert "def _" not in classes
    assert "return" not in re.sub(r'""".*?"""', "", classes, flags=re.S)


def anchors_on_github(path: Path) -> set[str]:
    """Where links into a page can lead when it is read in the repository: its headings, and `id` in HTML."""
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#{1,6} (.+)$", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S), re.M)
    plain = [re.sub(r"<[^>]+>|\[([^\]]*)\]\([^)]*\)", r"\1", title).strip().lower() for title in headings]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain} | set(
        re.findall(r'id="([^"]+)"', text)
    )


@pytest.mark.parametrize("path", [*PAGES, *sorted((REPOSITORY / "benchmarks").glob("*.md"))], ids=page_id)
def test_links_lead_somewhere_without_the_site(path: Path) -> None:
    for place, anchor in re.findall(
        r"(?<!!)\[[^\]]*\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", path.read_text(encoding="utf-8")
    ):
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), place
        assert not anchor or anchor in anchors_on_github(target), f"{place}#{anchor}"


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_pages_have_no_syntax_that_only_the_site_understands(path: Path) -> None:
    assert (
        re.findall(r"^(?:(?:::: |!!! |\?\?\? |=== ).*|.*\{ ?#\S+ ?\})$", path.read_text(encoding="utf-8"), re.M) == []
    )


def test_an_environment_lists_exactly_what_it_changes(hooks: ModuleType, sections: dict[str, type[BaseModel]]) -> None:
    """Applied to base, the rows of its table give the environment's own parameters."""
    parts = re.split(r"^## .*`(\w+)`$", hooks.environments(), flags=re.M)
    tables = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert len(tables) == len([path for path in (REPOSITORY / "conf").iterdir() if path.is_dir()]) - 2
    for environment, table in tables.items():
        changes = ",".join(
            f"{name}={value}" for name, value in re.findall(r"^\| \[`(\S+)`\].*?\) \| `(.*?)` \|", table, re.M)
        )
        applied = merged(parameters_file("base"), read_params(changes, sections))
        wanted = merged(parameters_file("base"), parameters_file(environment))
        for section, model in sections.items():
            assert model.model_validate(applied.get(section, {})) == model.model_validate(wanted.get(section, {}))


def test_every_variable_of_the_project_is_described() -> None:
    page = (DOCS / "reference" / "environment-variables.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "src").rglob("*.py"))
    variables = set(re.findall(r"CELEBA_GAN_[A-Z_]+", sources))
    assert variables
    assert {name for name in variables if f"`{name}`" not in page} == set()


def test_every_picture_is_shown_and_exists() -> None:
    texts = [*PAGES, *(REPOSITORY / "benchmarks").glob("*.md")]
    linked = {
        (path.parent / place).resolve()
        for path in texts
        for place in re.findall(r"(?:\]\(|src=\")([^)\"#:]+)", path.read_text(encoding="utf-8"))
    }
    pictures = {path for path in (DOCS / "images").iterdir() if path.is_file()}
    assert pictures <= linked
    assert {path for path in linked if path.suffix in (".gif", ".png", ".svg")} <= pictures


class Loads(HTMLParser):
    """What a page loads by itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.anchors.add(str(values["id"]))
        name = "href" if tag == "link" else "src"
        if tag in ("link", "script", "img", "iframe", "source", "video") and values.get(name):
            self.addresses.append(str(values[name]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. All warnings are errors: of missing files, links and anchors, among others."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        found = Loads(page.read_text(encoding="utf-8")).addresses
        assert found
        assert [address for address in found if re.match(r"(\w+:)?//", address)] == [], page
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert re.search(r"(@import|url\()\s*[\"']?(https?:)?//", text) is None, style


@pytest.mark.slow
def test_the_built_pages_hold_what_is_generated(site: Path, known: set[str]) -> None:
    pages = {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert [name for name, text in pages.items() if "<!-- generated" in text or "[!" in text] == []
    assert '<p class="admonition-title">Too many rejected images stop the run</p>' in pages["how-to/own-images.html"]
    assert known <= Loads(pages["reference/parameters.html"]).anchors
    for name in ("train", "evaluate", "load_generator"):
        assert f"celeba_gan.api.{name}" in Loads(pages["reference/python-api.html"]).anchors
    assert list(site.rglob("*.py")) == []


LOOKED_FOR = {
    "out of memory": "how-to/troubleshooting",
    "resume": "how-to/resume",
    "own images": "how-to/own-images",
    "FID": "how-to/evaluate",
    "GPU": "how-to/many-gpus",
    "S3": "how-to/storage",
    "truncation": "how-to/sample",
    "Windows": "how-to/troubleshooting",
    "learning rate": "how-to/choose-training",
    "serve": "how-to/serve",
    "train.kimg": "reference/parameters",
}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")
def test_search_finds_what_people_look_for_in_pages_opened_as_files(site: Path) -> None:
    """Without a request to anything but files, and the page in question among the first three."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        requested, errors = [], []
        page.on("request", lambda request: requested.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((site / "how-to" / "explore.html").as_uri())
        field, links = page.locator("input.md-search__input"), page.locator(".md-search-result__item")
        missing = {}
        for words, wanted in LOOKED_FOR.items():
            page.goto((site / "how-to" / "explore.html").as_uri())
            field.focus()
            page.keyboard.type(words)
            links.first.wait_for(state="attached")
            page.wait_for_timeout(500)  # results follow the typing
            addresses = [one.get_attribute("href") for one in links.locator("a").element_handles()]
            found = list(dict.fromkeys(re.findall(r"/([a-zA-Z-]+/[a-zA-Z_-]+)\.html", " ".join(map(str, addresses)))))
            if wanted not in found[:3]:
                missing[words] = found[:4]
        browser.close()
    assert missing == {}
    assert errors == []
    assert [address for address in requested if not address.startswith(("file:", "data:", "blob:"))] == []
