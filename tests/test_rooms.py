"""The rooms of the package: small, and the tree in docs/explanations/design.md."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "celeba_gan"
ROOMS = sorted(path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)


def test_no_room_has_more_than_a_dozen_files() -> None:
    sizes = {str(room.relative_to(PACKAGE)): len([*room.glob("[!_]*.py")]) for room in ROOMS}
    assert {room: size for room, size in sizes.items() if size > 12} == {}


def test_the_page_on_the_design_names_every_room() -> None:
    text = (REPOSITORY / "docs/explanations/design.md").read_text(encoding="utf-8")
    tree = text[text.index("## Rooms") : text.index("## Where to start reading")]
    named = set(re.findall(r"\b([a-z]+)/", tree))
    stages = {path.name for path in (PACKAGE / "pipelines").iterdir()}
    assert {room.name for room in ROOMS} - named <= stages
