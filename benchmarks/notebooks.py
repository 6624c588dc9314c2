"""Executes the notebooks in place, for the outputs that are committed: after `make run`, on the demo.

Of an output that comes as text and as a picture or a table, only the latter is kept: the text has codes for a
terminal's colours, and addresses in memory. Charts are stored with a palette, at a third of their size.

    python benchmarks/notebooks.py
    python benchmarks/notebooks.py 02_training
"""

import argparse
import base64
import io
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
BETTER = ("image/png", "image/jpeg", "text/html")  # than text
EMPTY = re.compile(r"<pre[^>]*></pre>\s*")  # what rich displays beside a table


def execute(file: Path) -> None:
    """Runs all cells in the notebook's folder; the file is written only if all of them pass."""
    notebook = nbformat.read(file, nbformat.NO_CONVERT)
    NotebookClient(
        notebook, timeout=1800, resources={"metadata": {"path": str(file.parent)}}, record_timing=False
    ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [kept for output in cell.outputs if (kept := _without_doubles(output))]
    notebook.metadata.language_info = {"name": "python"}  # not the version of this machine's Python
    nbformat.write(notebook, file)
    print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB", flush=True)


def _without_doubles(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """The output in its best form; None if nothing of it is to be seen."""
    data = output.get("data")
    if data is None:
        return output
    if EMPTY.fullmatch(data.get("text/html", "")):
        return None
    if any(kind in data for kind in BETTER):
        data.pop("text/plain", None)
    if "image/png" in data:
        data["image/png"] = _with_palette(data["image/png"])
    return output


def _with_palette(png: str) -> str:
    """The chart with 128 colours; both in base64."""
    smaller = io.BytesIO()
    chart = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    chart.quantize(128, dither=Image.Dither.NONE).save(smaller, "PNG", optimize=True)
    return base64.b64encode(smaller.getvalue()).decode() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="such as 01_data; none: all")
    names = parser.parse_args().names
    for file in sorted(NOTEBOOKS.glob("*.ipynb")):
        if not names or file.stem in names:
            execute(file)


if __name__ == "__main__":
    main()
