"""The model card as a file: its name, and what readers other than Hugging Face need of it. Imports little."""

import re
from pathlib import Path
from typing import Final

CARD_FILE: Final = "README.md"
SAMPLES_FILE: Final = "samples.png"


def without_front_matter(card: str) -> str:
    """The card for readers of plain Markdown, which show the YAML at its top as text."""
    return re.sub(r"\A---\n.*?\n---\n\s*", "", card, flags=re.DOTALL)


def pictures_in(card: str, folder: Path) -> list[Path]:
    """The files in its folder that a card shows, each once, in their order."""
    names = dict.fromkeys(re.findall(r"!\[[^\]]*\]\(([^)\s/\\:]+)\)", card))
    return [folder / name for name in names if (folder / name).is_file()]
