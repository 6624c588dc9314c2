"""The summary at the end of a run: what was made, how good it is, where it is, how to view it."""

import atexit
import csv
import re
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from celeba_gan.evaluation.documents import Comparison, Evaluation
from celeba_gan.exporting.card_file import CARD_FILE, PAGE_FILE
from celeba_gan.foundation.params import NAMES, params_option
from celeba_gan.foundation.paths import filepaths, shown
from celeba_gan.foundation.safety.secrets import mask_secrets
from celeba_gan.foundation.settings import is_none
from celeba_gan.foundation.wording import counted, in_time
from celeba_gan.gan.runs.cards import RunCard
from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.sampling.control_documents import GOOD_AUC, Directions, Projections
from celeba_gan.hooks.run_folders import RESUME, RUN
from celeba_gan.images.packed import Manifest, PackedImages, Shard
from celeba_gan.reporting.data.data_report import DataReport
from celeba_gan.reporting.films import film_files
from celeba_gan.tracking.config import RunPage
from celeba_gan.tracking.hook import MLflowTracking

PACKED: Final = "packed_images"
RESUME_FROM: Final = "params:train.resume_from"

Lines = Iterable[tuple[str, str]]  # a label and its text


class Summary:
    """Prints what the run's pipeline made; after an interruption, where training resumes.

    It reads files, never weights.
    """

    def __init__(self, tracking: MLflowTracking | None = None) -> None:
        self._tracking = tracking
        self._started = 0.0
        self._paths: dict[str, Path] = {}
        self._saved: RunCard | None = None
        self._shards = 0
        self._manifest: Manifest | None = None
        self._resuming_command = ""

    @hook_impl
    def after_catalog_created(self, conf_catalog: dict[str, Any]) -> None:
        """Keeps the paths of the entries."""
        self._paths = filepaths(conf_catalog)

    @hook_impl
    def before_pipeline_run(self, catalog: DataCatalog) -> None:
        """Starts the clock, and registers for an interruption."""
        self._started = time.monotonic()
        self._saved = None
        self._shards = 0
        without = ""
        if RESUME in catalog and not catalog.load(RESUME):
            without = " without train.resume=false"
        elif RESUME_FROM in catalog and catalog.load(RESUME_FROM) is not None:
            without = " without train.resume_from"
        self._resuming_command = f"the same command{without}"
        # Kedro has a hook for errors, but none for Ctrl-C and SIGTERM.
        atexit.unregister(self._print_interruption)
        atexit.register(self._print_interruption)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Records how much of packing and training is on disk."""
        if dataset_name == RUN:
            self._saved = data.card
        elif dataset_name == PACKED:
            self._shards = data.index + 1 if isinstance(data, Shard) else 0
            self._manifest = None if isinstance(data, Shard) else data

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Prints nothing after an error."""
        atexit.unregister(self._print_interruption)

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Prints the summary; nothing for a pipeline without outputs, such as the plan."""
        atexit.unregister(self._print_interruption)
        made = pipeline.all_outputs()
        if not made:
            return
        lines: list[tuple[str, str]] = []
        for name, describe in _ACCOUNTS.items():
            if name in made and (path := self._paths.get(name)) is not None:
                lines += describe(path)
            elif name in made and name == PACKED and self._manifest is not None:  # they are elsewhere
                lines += _packed_as(self._manifest)
        if self._tracking is not None and (decision := self._tracking.decision()) is not None:
            lines.append(("Registry", decision))
        lines.append(("Time", in_time(time.monotonic() - self._started)))
        if Path("pyproject.toml").is_file():  # kedro viz needs a project; the package runs in any folder
            lines.append(("Look", _viz_command(run_params)))
        if self._tracking is not None and (page := self._tracking.page()) is not None:
            lines.append(("Compare", _run_page(page)))
        _print(lines)

    def _print_interruption(self) -> None:
        if self._shards:
            shards = counted(self._shards, "packed shard")
            _print([("Stopped", f"{shards} kept; the same command continues from there")])
        if self._saved is not None:
            images, command = counted(self._saved.images, "image"), self._resuming_command
            saved = f"training is saved at {images}; {command} resumes from there"
            finished = f"training is finished ({images}) and saved; {command} does the rest"
            _print([("Stopped", finished if self._saved.finished else saved)])
        if not self._shards and self._saved is None:
            _print([("Stopped", f"stages that were finished are kept; {self._resuming_command} does the rest")])


def _indexed(path: Path) -> Lines:
    import pyarrow.parquet

    yield "Indexed", counted(pyarrow.parquet.read_metadata(path).num_rows, "image")


def _rejected(path: Path) -> Lines:
    count = len(_read_rows(path))
    others = counted(count, "other image")
    yield (
        "Rejected",
        f"{others} when indexing, listed with the reason in {shown(path)}" if count else counted(0, "image"),
    )


def _unreadable(path: Path) -> Lines:
    if count := len(_read_rows(path)):
        yield "Left out", f"{counted(count, 'indexed image')} when packing, listed with the reason in {shown(path)}"


def _read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _packed(path: Path) -> Lines:
    yield from _packed_as(PackedImages(path).manifest)


def _packed_as(manifest: Manifest) -> Lines:
    removed = len(manifest.leaks)
    without = f"; removed {removed:,} of train that valid or test has, too" if removed else ""
    yield "Packed", f"{counted(manifest.count, 'image')} of {manifest.size}x{manifest.size} pixels{without}"


def _classes(path: Path) -> Lines:
    sizes = [int(row["train"]) for row in _read_rows(path)]
    if len(sizes) > 1:
        span = f"{min(sizes):,} to {max(sizes):,}" if min(sizes) < max(sizes) else f"{min(sizes):,}"
        yield "Classes", f"{len(sizes):,}, with {span} training images each, listed in {shown(path)}"


def _findings(path: Path) -> Lines:
    findings = DataReport.read(path).findings
    for finding in findings[:_MOST_FINDINGS]:
        yield "Data", finding
    if (more := len(findings) - _MOST_FINDINGS) > 0:
        yield "Data", f"{counted(more, 'more finding')} in the report"


def _trained(path: Path) -> Lines:
    card = Run(path).card()
    if card is None:
        return
    state = "finished" if card.finished else "not finished: run the train pipeline again to resume"
    yield "Trained", f"on {card.images:,} images ({card.images / 1000:g} kimg), {state}"
    yield "Generator", shown(path / "generator.safetensors")
    if card.best is not None:
        where = shown(path / "best_generator.safetensors")
        yield "Best", f"{card.best.metric} {card.best.value:.4g} after {card.best.images:,} images: {where}"


_MOST_FINDINGS: Final = 5


def _measured(path: Path) -> Lines:
    from celeba_gan.evaluation.metrics.registry import NUMBERS, read_name
    from celeba_gan.reporting.evaluation.glossary import first_extractor

    evaluation = Evaluation.read(path)
    for number in NUMBERS.values():
        name = first_extractor(evaluation, number.name) if number.terminal else None
        if number.terminal is None or name is None:
            continue
        label, meaning = number.terminal
        floor, interval = evaluation.floor.get(name), evaluation.intervals.get(name)
        beside = [f"{interval.low:.3g} to {interval.high:.3g}"] if interval else []
        beside += [f"real images {floor:.3g}"] if floor is not None else []
        known = f" ({'; '.join(beside)})" if beside else ""
        explained = "; ".join(filter(None, [meaning, read_name(name).advice]))
        yield label, f"{evaluation.metrics[name]:.3g}{known}: {explained}"
    if evaluation.comparison is not None:
        yield "Compared", _verdict(evaluation.comparison)


def _verdict(comparison: Comparison) -> str:
    """Which of two models is better in what."""
    found: dict[str, list[str]] = {"model": [], "against": [], "neither": []}
    for row in comparison.rows:
        found[row.better].append(f"{row.metric} ({row.model:.3g} against {row.against:.3g})")
    words = {"model": "better in", "against": "worse in", "neither": "undecided in"}
    parts = [f"{words[who]} {', '.join(metrics)}" for who, metrics in found.items() if metrics]
    return f"{comparison.model} with {comparison.against}: {'; '.join(parts) or 'they have no metric in common'}"


def _directions(path: Path) -> Lines:
    found = Directions.read(path)
    attributes = [one.prediction.auc for one in found.of_kind("attribute") if one.prediction is not None]
    good = sum(auc >= GOOD_AUC for auc in attributes)
    closed = f"{len(found.of_kind('closed_form'))} in closed form"
    known = (
        f"{counted(len(attributes), 'attribute')}, {good} with AUC >= {GOOD_AUC:g}; {closed}" if attributes else closed
    )
    yield "Directions", f"{shown(path)} ({known})"


def _projections(path: Path) -> Lines:
    if found := Projections.read(path).photographs:
        middle = median(one.error.rmse for one in found)
        yield (
            "Projections",
            f"{counted(len(found), 'photograph')}, median error {middle:.1f} grey levels: {shown(path)}",
        )


def _exported(path: Path) -> Lines:
    yield "Export", f"{shown(path)}  (its model card is {CARD_FILE})"
    if (path / PAGE_FILE).is_file():  # not with export.web=false
        command = f"python -m http.server --bind 127.0.0.1 --directory {shlex.quote(shown(path))}"
        yield "Page", f"{command}, then http://127.0.0.1:8000/  (it generates faces in the browser)"


def _film(label: str) -> Callable[[Path], Lines]:
    return lambda path: [(label, ", ".join(map(shown, film_files(path))))]


def _place(label: str) -> Callable[[Path], Lines]:
    return lambda path: [(label, shown(path))]


_ACCOUNTS: Final[dict[str, Callable[[Path], Lines]]] = {
    "image_index": _indexed,
    "rejected_images": _rejected,
    PACKED: _packed,
    "unreadable_images": _unreadable,
    "classes": _classes,
    "data_report": _findings,
    "data_page": _place("Data report"),
    RUN: _trained,
    "training_grids": _place("Grids"),
    "evaluation": _measured,
    "evaluation_page": _place("Report"),
    "sample_grid": _place("Pictures"),
    "training_animation": _film("Animation"),
    "walk_film": _film("Walk"),
    "samples": _place("Samples"),
    "directions": _directions,
    "projections": _projections,
    "exported_folder": _exported,
}


def _viz_command(run_params: Mapping[str, Any]) -> str:
    """The command that shows the graph with this run's artifacts."""
    params = run_params.get("runtime_params") or {}
    names = {key: params[key] for key in NAMES if key in params}
    if not is_none(model := (params.get("evaluate") or {}).get("model")):  # its results are in a folder of their own
        names["evaluate.model"] = model
    options = [f"--env {run_params['env']}"] if run_params.get("env") else []
    options += [params_option(names)] if names else []
    command = " ".join(["kedro viz run", *options])
    return f"{command}  (the pipeline with its pictures, curves and numbers)" + ("" if options else "; or make viz")


def _run_page(page: RunPage) -> str:
    # Without the workflow type MLflow 3 opens the page as that of a language model.
    path = f"#/experiments/{page.experiment_id}/runs/{page.run_id}?workflowType=machine_learning"
    server = re.sub("//[^/]*@", "//", page.tracking_uri).rstrip("/") if page.tracking_uri.startswith("http") else None
    address = f"{server}/{path}" if server else f"{page.command}, then http://127.0.0.1:5000/{path}"
    return f"{address}  (run {page.run_name!r} of experiment {page.experiment!r})"


def _print(lines: list[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    width = max(len(label) for label, _ in lines)
    console.print()
    for label, text in lines:
        console.print(Text.assemble((f"{label:<{width}}", "bold"), "  ", mask_secrets(text)))
