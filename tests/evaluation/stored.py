"""An evaluation as a file of the first format has it, for tests to change."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "fixtures" / "evaluation_v1.json"


def stored_evaluation() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content
