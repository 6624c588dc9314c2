"""The public Python API: for the site as mkdocstrings reads it, for other readers as code with its docstrings."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from field_tables import heading

SOURCES: Final = Path(__file__).parents[1] / "src"
_EVALUATION: Final = "metrics, intervals, floor, floor_train, protocol, attributes, comparison, to_json"
API: Final[dict[str, dict[str, str]]] = {
    "functions": {
        "celeba_gan.api.train": "",
        "celeba_gan.api.evaluate": "",
        "celeba_gan.api.load_generator": "",
    },
    "classes": {
        "celeba_gan.gan.sampling.trained.TrainedGenerator": 'filters: ["!^_"]',
        "celeba_gan.evaluation.documents.Evaluation": f"members: [{_EVALUATION}]",
        "celeba_gan.evaluation.documents.Interval": "",
        "celeba_gan.evaluation.documents.EvaluationProtocol": "",
        "celeba_gan.evaluation.documents.Attributes": "",
        "celeba_gan.evaluation.documents.Comparison": "",
    },
    "errors": {
        "celeba_gan.api.ModelError": "",
        "celeba_gan.api.SettingsError": "",
        "celeba_gan.gan.sampling.trained.InputError": "",
    },
}
"""What is public, with the options of mkdocstrings for it."""


def directives(kind: str) -> str:
    """The lines that mkdocstrings replaces."""
    return "\n\n".join(
        f"::: {name}" + (f"\n    options:\n      {options}" if options else "") for name, options in API[kind].items()
    )


def outlines(kind: str) -> str:
    """A heading for each object, and its code without what it does."""
    parts = []
    for name in API[kind]:
        module, _, title = name.rpartition(".")
        parts += [heading(3, f"`{title}`", name), f"```python\n{_outline(module, title)}\n```"]
    return "\n\n".join(parts)


def _outline(module: str, name: str) -> str:
    text = SOURCES.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    lines = text.splitlines()
    (found,) = (node for node in ast.parse(text).body if getattr(node, "name", None) == name)
    return "\n".join(_head(found, lines))


def _head(node: ast.AST, lines: list[str]) -> Iterator[str]:
    """The lines of a function or class to the end of its docstring, and the same of a class's public members."""
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    yield from (lines[one.lineno - 1] for one in node.decorator_list if getattr(one, "id", "") == "property")
    yield from lines[node.lineno - 1 : node.body[0].end_lineno]
    if isinstance(node, ast.ClassDef):
        fields = [
            one
            for before, one in zip(node.body, node.body[1:], strict=False)
            if isinstance(one, ast.AnnAssign) or (isinstance(one, ast.Expr) and isinstance(before, ast.AnnAssign))
        ]
        yield from [""] if fields else []
        for field in fields:
            yield from lines[field.lineno - 1 : field.end_lineno]
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                yield from ["", *_head(method, lines)]
