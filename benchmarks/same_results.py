"""Compares what two Kedro project folders hold in data/ and in their MLflow stores, value by value.

Each file is read into a flat table of named values: tensors, JSON leaves, cells, frames of pictures, lines of text. Two
files are equal if their tables are. Arrays compare bit for bit, numbers by all their digits.
"""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.tracking import MlflowClient
from PIL import Image, ImageSequence

Values = dict[str, Any]

# Values that differ between two runs of the same code. Each pattern is searched for in "<file>: <name of the value>".
IGNORED = {
    r"(json|safetensors): (.*\.)?(id|training_id)$": "random id of a training",
    r"evaluation\.json: (.*\.)?protocol\.code$": "digest of the source code",
    r": .*images[_ ]per[_ ]second\b": "speed",
    r"safetensors: metadata\.card\.checksums\.": "checksums of what is compared itself, and of the id",
    r"^MLflow .*: metrics\.system/": "load and memory of the machine",
    r"^MLflow .*: metrics\.(evaluate/(floor|intervals)|train/.*_floor$)": "now in evaluation.json alone",
    r"^MLflow .*: artifacts\.environment\.json$": "versions and hardware; earlier, tags",
}
# Parts of texts that differ between two runs of the same code. They are replaced with <...> before comparing.
SCRUBBED = {
    r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b": "random id of a Plotly chart",
    r"\b\d+\.\d+\.\d+\+[0-9a-f]{16}\b": "version and digest of the source code",
    r"\+timestamp\+\d+|(?<=\+)\d{13}(?=\+)": "time in the name of an MLflow image",
    r"(?:/[\w.-]{1,99}){1,20}/(before|after)(?=/data/)": "folder of a project",
    r"(?<=<dd>)[0-9a-f]{32}(?=</dd>)": "random id of a training",
    r'(?<="name": "images per second")[^}]*': "speed in a page's chart",
    r"\bswd[_ ](absolute[_ ])?valid": "earlier and present name of the distance measured in training",
}
# Patterns in the names of values that had another name in earlier revisions, and what both are compared under.
RENAMED = {
    r"\bswd[_ ](absolute[_ ])?valid": "swd_absolute_valid",
    r"^parameters\.evaluate\.against$": "parameters.evaluate.compare_with",
    r"^parameters\.(evaluate|generate)\.which$": r"parameters.\1.checkpoint",
    r"\bprotocol\.which$": "protocol.checkpoint",
    r"^metrics\.evaluate/(?!floor|intervals)": "metrics.trained/",
}
UNNAMED = "data/04_feature/"  # a cache whose file names include a digest of the code: only contents compare
NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
SHOWN = 5  # differences printed per file


class Comparison:
    """Compares tables of values, counts them, and prints the differences."""

    def __init__(self, show: Callable[[str], object] = print) -> None:
        self._show = show
        self.differences = 0
        self.counts: Counter[str] = Counter()

    def compare(self, title: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Compares two tables under this title."""
        before, after = ({_present(name): value for name, value in table.items()} for table in (before, after))
        lines = list(self._differences(title, before, after))
        for line in lines[:SHOWN]:
            self._show(f"{title}: {line}")
        if len(lines) > SHOWN:
            self._show(f"{title}: and {len(lines) - SHOWN} more")
        self.differences += len(lines)

    def _differences(self, title: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
        for name in sorted(before.keys() | after.keys()):
            if any(re.search(pattern, f"{title}: {name}") for pattern in IGNORED):
                continue
            if name not in before or name not in after:
                yield f"{name}: only {'before' if name in before else 'after'}"
                continue
            old, new = before[name], after[name]
            self.counts[_kind(old)] += 1
            if not _same(old, new):
                yield f"{name}: {_describe(old, new)}"


def _present(name: str) -> str:
    for pattern, now in RENAMED.items():
        name = re.sub(pattern, now, name)
    return name


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return "tensors and pictures"
    return "numbers" if isinstance(value, int | float | np.number) else "texts"


def _same(old: object, new: object) -> bool:
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        return old.dtype == new.dtype and old.shape == new.shape and old.tobytes() == new.tobytes()
    return type(old) is type(new) and repr(old) == repr(new)


def _describe(old: object, new: object) -> str:
    """Describes a difference in one line."""
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        if old.dtype != new.dtype or old.shape != new.shape:
            return f"{old.dtype} {old.shape} before, {new.dtype} {new.shape} after"
        apart = np.abs(old.astype(float) - new.astype(float))
        return f"{np.count_nonzero(apart)} of {apart.size} values differ, by at most {np.nanmax(apart):.3g}"
    if isinstance(old, str) and isinstance(new, str):
        place = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        start = max(0, place - 30)
        old, new = old[start : place + 30], new[start : place + 30]
    return f"{old!r} before, {new!r} after"


# --- files ----------------------------------------------------------------------------------------------------------


def compare_data(comparison: Comparison, before: Path, after: Path) -> None:
    """Compares the files in data/ of two projects."""
    old, new = _files(before), _files(after)
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            comparison.compare(name, *({"the file": "there"} if name in files else {} for files in (old, new)))
            continue
        comparison.counts["files"] += 1
        read = READERS.get(Path(name).suffix, _read_bytes)
        comparison.compare(name, read(old[name]), read(new[name]))


def _files(project: Path) -> dict[str, Path]:
    """Files in data/ by the names under which they are compared."""
    found = {}
    for path in (project / "data").rglob("*"):
        if not path.is_file() or path.name.startswith("."):
            continue
        name = path.relative_to(project).as_posix()
        if name.startswith(UNNAMED):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            name = f"{Path(name).parent}/content {digest}{path.suffix}"
        found[name] = path
    return found


def _leaves(value: object, name: str = "") -> Values:
    """Flattens nested dictionaries and lists: `network.dcgan.width`, `rows.0.images`."""
    if isinstance(value, dict | list) and value:
        items = (
            value.items() if isinstance(value, dict) else [(_title(n, inner), inner) for n, inner in enumerate(value)]
        )
        return {key: leaf for part, inner in items for key, leaf in _leaves(inner, f"{name}.{part}").items()}
    return {name.removeprefix("."): _scrub(value) if isinstance(value, str) else value}


def _title(place: int, value: object) -> str:
    """An item of a list by its index and, if it has one as the curves of a chart do, its name."""
    return f"{place} {value['name']}" if isinstance(value, dict) and isinstance(value.get("name"), str) else str(place)


def _scrub(text: str) -> str:
    for pattern in SCRUBBED:
        text = re.sub(pattern, "<...>", text)
    return text


def _read_json(path: Path) -> Values:
    return _leaves(json.loads(path.read_bytes()))


def _read_safetensors(path: Path) -> Values:
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    values: Values = {}
    for key, text in header.pop("__metadata__", {}).items():
        try:
            values |= _leaves(json.loads(text), f"metadata.{key}")
        except ValueError:  # plain text
            values |= _leaves(text, f"metadata.{key}")
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        data = np.frombuffer(raw[start + begin : start + end], NUMPY.get(entry["dtype"], "u1"))
        values[name] = data.reshape(entry["shape"] if entry["dtype"] in NUMPY else -1)
        values[f"type of {name}"] = entry["dtype"]
    return values


def _cells(table: pd.DataFrame) -> Values:
    types: Values = {f"type of column {column}": str(kind) for column, kind in table.dtypes.items()}
    cells = {f"row {row}, {name}": value for name in table for row, value in enumerate(table[name].tolist())}
    return types | cells | {"index": repr(table.index)}


def _read_csv(path: Path) -> Values:
    return _cells(pd.read_csv(path, dtype=str, keep_default_na=False))


def _read_parquet(path: Path) -> Values:
    return _cells(pd.read_parquet(path))


def _read_npy(path: Path) -> Values:
    return {"array": np.load(path)}


def _read_picture(path: Path) -> Values:
    with Image.open(path) as picture:
        frames = {
            f"frame {n}": np.asarray(frame.convert("RGBA")) for n, frame in enumerate(ImageSequence.Iterator(picture))
        }
        return {"mode": picture.mode, "duration": picture.info.get("duration"), **frames}


def _read_text(path: Path) -> Values:
    lines = _scrub(path.read_text(encoding="utf-8")).splitlines()
    return {f"line {number}": line for number, line in enumerate(lines, start=1)}


def _read_bytes(path: Path) -> Values:
    return {"bytes": np.frombuffer(path.read_bytes(), np.uint8)}


READERS: dict[str, Callable[[Path], Values]] = {
    ".json": _read_json,
    ".safetensors": _read_safetensors,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".npy": _read_npy,
    ".png": _read_picture,
    ".gif": _read_picture,
    ".html": _read_text,
    ".txt": _read_text,
}

# --- MLflow ---------------------------------------------------------------------------------------------------------


def compare_tracking(comparison: Comparison, before: Path, after: Path) -> None:
    """Compares the MLflow stores of two projects: status, parameters, last metrics, artifact names; model aliases."""
    old, new = _runs(before), _runs(after)
    for name in sorted(old.keys() | new.keys()):
        comparison.counts["MLflow tables"] += 1
        comparison.compare(f"MLflow {name}", old.get(name, {}), new.get(name, {}))


def _runs(project: Path) -> dict[str, Values]:
    """Tables of all runs by name and number, and of the registered models."""
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    named: defaultdict[str, list[Values]] = defaultdict(list)
    for run in client.search_runs(experiments, order_by=["start_time ASC"]):
        table: Values = {"status": run.info.status}
        table |= {f"metrics.{name}": value for name, value in run.data.metrics.items()}
        table |= {f"parameters.{name}": _scrub(value) for name, value in run.data.params.items()}
        artifacts = (_scrub(path) for path in _artifacts(client, run.info.run_id))
        table |= {f"artifacts.{path}": "there" for path in artifacts}
        named[run.info.run_name].append(table)
    tables = {f"run '{name}' {n}": table for name, runs in named.items() for n, table in enumerate(runs, start=1)}
    models = {model.name: {k: str(v) for k, v in model.aliases.items()} for model in client.search_registered_models()}
    return tables | {"registry": _leaves(models)}


def _artifacts(client: Any, run_id: str, folder: str | None = None) -> Iterator[str]:
    for entry in client.list_artifacts(run_id, folder):
        if entry.is_dir:
            yield from _artifacts(client, run_id, entry.path)
        else:
            yield entry.path
