"""Names in the exported folder, and its model card for readers other than Hugging Face. Imports little."""

import re
from pathlib import Path
from typing import Final

CARD_FILE: Final = "README.md"
SAMPLES_FILE: Final = "samples.png"
PAGE_FILE: Final = "index.html"

_PICTURE: Final = re.compile(r"!\[([^\]]*)\]\(([^)\s/\\:]+)\)")  # of a file beside the card


def without_front_matter(card: str) -> str:
    """The card for readers of plain Markdown, which show the YAML at its top as text."""
    return re.sub(r"\A---\n.*?\n---\n\s*", "", card, flags=re.DOTALL)


def pictures_in(card: str, folder: Path) -> list[Path]:
    """The files in its folder that a card shows, each once, in their order."""
    names = dict.fromkeys(name for _, name in _PICTURE.findall(card))
    return [folder / name for name in names if (folder / name).is_file()]


def name_pictures(card: str) -> str:
    """The card with a line on each picture in its place, for viewers of Markdown that show none."""
    return _PICTURE.sub(r"*\1: `\2`, beside this file*", card)
