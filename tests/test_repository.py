"""The repository's own files: what they say of versions, Pythons, commands and each other is so."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import celeba_gan

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
TEMPLATES = [REPOSITORY / ".github" / "ISSUE_TEMPLATE" / name for name in ("bug.yml", "idea.yml")]
FIELDS = {"textarea", "input", "dropdown", "checkboxes", "markdown"}  # of GitHub's issue forms
DOCUMENTS = ["CONTRIBUTING.md", "CHANGELOG.md"]


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def releases() -> list[tuple[str, str]]:
    return re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", text("CHANGELOG.md"), re.M)


def test_the_newest_release_is_the_version_everywhere() -> None:
    citation = load(REPOSITORY / "CITATION.cff")
    version, date = releases()[0]
    assert (celeba_gan.__version__, PROJECT["version"], citation["version"]) == (version,) * 3
    assert (str(citation["date-released"]), citation["license"]) == (date, PROJECT["license"])


def test_the_changelog_has_the_headings_of_keep_a_changelog_newest_first() -> None:
    lines = re.findall(r"^(##+) (.+)$", text("CHANGELOG.md"), re.M)
    kinds = {heading for level, heading in lines if level == "###"}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert lines[0] == ("##", "[Unreleased]")
    assert len(releases()) == sum(level == "##" for level, _ in lines) - 1
    assert releases() == sorted(releases(), key=lambda one: [int(part) for part in one[0].split(".")], reverse=True)
    assert [date for _, date in releases()] == sorted((date for _, date in releases()), reverse=True)


def test_the_workflow_tests_every_python_that_is_classified_on_every_system() -> None:
    matrix = load(REPOSITORY / ".github/workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]
    classified = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", one) for one in PROJECT["classifiers"]]
    versions = [found[1] for found in classified if found]
    assert matrix["python"] == versions
    assert PROJECT["requires-python"] == f">={versions[0]}"
    assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos", "windows"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_job_may_only_read_and_ends(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120


def test_every_target_of_make_is_in_its_help_and_no_file() -> None:
    makefile = text("Makefile")
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.M)
    described = re.findall(r"^([a-z-]+):.*## ", makefile, re.M)
    targets = re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.M)
    assert sorted(phony.split()) == sorted(described) == sorted(targets)


@pytest.mark.parametrize("path", [*WORKFLOWS, REPOSITORY / "CONTRIBUTING.md"], ids=lambda path: path.name)
def test_what_is_made_exists(path: Path) -> None:
    used = set(re.findall(r"(?:`|run: |^    )make ([a-z-]+)", path.read_text(encoding="utf-8"), re.M))
    assert used <= set(re.findall(r"^([a-z-]+):", text("Makefile"), re.M))
    assert used or path.name == "security.yml"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_an_issue_form_is_one_that_github_reads(path: Path) -> None:
    form = load(path)
    assert form.keys() == {"name", "description", "labels", "body"}
    assert {part["type"] for part in form["body"]} <= FIELDS
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    assert asked
    assert len({part["id"] for part in asked}) == len({part["attributes"]["label"] for part in asked}) == len(asked)
    assert all(set(part) <= {"type", "id", "attributes", "validations"} for part in form["body"])


def test_the_command_that_the_form_for_errors_asks_for_works() -> None:
    (command,) = re.findall(r'python -c "(.+?)"', TEMPLATES[0].read_text(encoding="utf-8"))
    printed: list[Any] = []
    exec(command, {"print": printed.append})
    assert printed[0]["celeba-gan"] == celeba_gan.__version__


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_a_document_links_to_is_there(name: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text(name)) if "://" not in link]
    assert links
    assert [link for link in links if not (REPOSITORY / link).is_file()] == []


def test_hooks_run_the_tools_of_make_check() -> None:
    hooks = load(REPOSITORY / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    tools = {hook["entry"].removeprefix(".venv/bin/").split()[0] for hook in hooks}
    (recipe,) = re.findall(r"^check:.*\n((?:\t.+\n)+)", text("Makefile"), re.M)
    assert tools == set(re.findall(r"\$\(BIN\)/(\S+)", recipe))
