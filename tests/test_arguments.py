"""The project's errors in the words of the front door."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import celeba_gan
from celeba_gan.arguments import as_arguments, named_as_arguments
from celeba_gan.foundation.wording import stage_command
from celeba_gan.gan.networks.config import NetworkError

SOURCES = Path(celeba_gan.__file__).parent


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("set preprocess.size to 32", "set size to 32"),
        ("give --params preprocess.crop=none, which", 'give crop="none", which'),
        ("--params source.path=/a b/c.zip. Name", "images=/a b/c.zip. Name"),
        ("evaluate.images is 3; set evaluate.neighbours to 2", "count is 3; set neighbours to 2"),
        ("start anew with --params train.resume=false", "start anew with resume=False"),
        ("give train.weight_clip=0.01 or train.weight_clip=null.", "give weight_clip=0.01 or weight_clip=None."),
        ("train.augment.name=ada; train.augment.ada.p", 'augment={"name": "ada"}; augment.ada.p'),
        ("(train.penalty.r1.weight=0)", '(penalty={"r1": {"weight": 0}})'),
        ("train.network.name: article works", "network.name: article works"),
        ("evaluate.features.path=FILE", 'features={"path": FILE}'),
        ("train.init_from: /a/train.kimg/x", "init_from: /a/train.kimg/x"),
        ("train.safetensors and source.py are files", "train.safetensors and source.py are files"),
        ("run the same command again", "make the same call again"),
        ("the same command resumes", "the same call resumes"),
    ],
)
def test_parameters_become_arguments(message: str, expected: str) -> None:
    assert as_arguments(message) == expected


def test_the_class_of_an_error_stays_and_errors_of_others_are_left_alone() -> None:
    with pytest.raises(NetworkError, match=r"^set size to 32$"), named_as_arguments():
        raise NetworkError("set preprocess.size to 32")
    with pytest.raises(ValueError, match=r"^set preprocess\.size to 32$"), named_as_arguments():
        raise ValueError("set preprocess.size to 32")


NOT_AT_THE_FRONT_DOOR = (
    "source.download",  # it downloads nothing
    "generate.",  # what generators are asked for is no argument
    "compare_with",  # refused by name
    "in --params",  # of what is typed there
    "The packed images were not replaced",  # only of what is checked before a run of stages
    "left_out_classes.csv",  # logged
    " and preprocess.condition_on",  # a part of a sentence that is tested as a whole
    "--params …",  # the option of any parameters
)


def _texts() -> Iterator[str]:
    """The texts of the rooms behind the front door, but for docstrings, logs and descriptions of settings."""
    for room in ("gan", "sources", "images", "evaluation", "foundation", "pipelines/train", "pipelines/preprocess"):
        for file in sorted((SOURCES / room).rglob("*.py")):
            yield from _texts_of(ast.parse(file.read_text(encoding="utf-8")))


def _texts_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("logger.", "Field", "re.compile")):
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        text = ""
        for part in node.values:
            text += str(part.value) if isinstance(part, ast.Constant) else _filled(part, text)
        yield text
    else:
        for child in ast.iter_child_nodes(node):
            yield from _texts_of(child)


def _filled(part: ast.AST, before: str) -> str:
    """An example of what fills a gap in a text."""
    command = re.search(r"stage_command\('(\w+)'\)", ast.unparse(part))
    if command:
        return stage_command(command[1])
    return "['label']" if "condition_on" in ast.unparse(part) else "12" if before.endswith(("=", "= ")) else "…"


def test_no_error_behind_the_front_door_speaks_of_the_command_line() -> None:
    spoken = re.compile(
        r"--params|--env|kedro run|the same command|\b(experiment|dataset)="
        r"|\b(preprocess|ingest|train|evaluate)\.[a-z]+_"
        r"|\b(preprocess|ingest|train|evaluate)\.(size|crop|workers|network|penalty|resume|kimg|images|features)\b"
        r"|\bsource\.(path|labels)"
    )
    texts = [text for text in _texts() if spoken.search(text) and " " in text]
    assert len(texts) > 40
    left = [as_arguments(text) for text in texts if not any(part in text for part in NOT_AT_THE_FRONT_DOOR)]
    assert [text for text in left if spoken.search(text)] == []
