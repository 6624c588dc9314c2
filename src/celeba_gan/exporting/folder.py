"""The exported folder: everything in it, made and checked before it takes the place of the former one."""

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from celeba_gan.exporting.card import LICENCE_FILE, write_card, write_licence
from celeba_gan.exporting.card_file import CARD_FILE, PAGE_FILE, SAMPLES_FILE
from celeba_gan.exporting.config import ExportSettings
from celeba_gan.exporting.programs import check_packages, export_programs
from celeba_gan.exporting.subject import Subject
from celeba_gan.exporting.web_page import write_page
from celeba_gan.exporting.web_runtime import PACKAGE, WebRuntime
from celeba_gan.foundation.wording import Report, no_report
from celeba_gan.gan.inputs.conditions import grid_names
from celeba_gan.gan.runs.run import export
from celeba_gan.gan.runs.snapshot import Network
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.reporting.grids import make_grid

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportedFolder:
    """A finished folder in a temporary place, which is deleted with this object."""

    path: Path
    owner: tempfile.TemporaryDirectory[str]


def check_tools(settings: ExportSettings, runtime: WebRuntime) -> None:
    """Checks what an export needs, before any work.

    Raises:
        ExportError: A package is missing, or npm, which fetches onnxruntime-web.
    """
    check_packages()
    if settings.web:
        runtime.check()


def export_folder(
    network: Network,
    settings: ExportSettings,
    runtime: WebRuntime,
    describe: Callable[[TrainedGenerator], Subject],
    report: Report = no_report,
) -> ExportedFolder:
    """Makes the folder that can be published as it is.

    Args:
        network: The generator.
        settings: What the folder holds.
        runtime: Where onnxruntime-web is, or is to be fetched to.
        describe: Gathers what is known about the generator.
        report: As in `export_programs`.

    Raises:
        ExportError: A program does not agree with torch, a package is missing, or onnxruntime-web cannot be fetched.
    """
    check_tools(settings, runtime)
    owner = tempfile.TemporaryDirectory(prefix="celeba_gan-", ignore_cleanup_errors=True)
    folder = Path(owner.name) / "export"
    folder.mkdir()
    if settings.web:
        runtime.copy_to(folder / PACKAGE)
    export(network, folder / "generator")
    trained = TrainedGenerator(network)
    export_programs(trained, folder, torch_program=settings.torch_program, report=report)
    subject = describe(trained)
    _draw_samples(trained, settings).save(folder / SAMPLES_FILE, "PNG", optimize=True)
    if settings.web:
        _write(folder / PAGE_FILE, write_page(subject))
    files = _names(folder)
    _write(folder / LICENCE_FILE, write_licence(subject, files))
    _write(folder / CARD_FILE, write_card(subject, files))
    return ExportedFolder(folder, owner)


def _draw_samples(trained: TrainedGenerator, settings: ExportSettings) -> Image.Image:
    """A grid; of a generator that takes labels, each row with its own."""
    samples = trained.grid(settings.grid_rows, settings.grid_columns, settings.seed)
    names = grid_names(trained.condition, settings.grid_rows)
    return Image.fromarray(make_grid(samples, trained.card.images, settings.grid_columns, names=names).pixels)


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", newline="\n")


def _names(folder: Path) -> Sequence[str]:
    return sorted(path.name for path in folder.iterdir())
