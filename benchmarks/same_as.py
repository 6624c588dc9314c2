"""Checks that the working tree gives the same results as another git revision, bit for bit.

This is for refactoring: tests check that the code is right, this script checks that no result changed. It copies the
revision and the working tree into one folder each. In both, `kedro run` trains every preset in conf/ with small
networks, resumes it, evaluates it and generates samples; more runs of the smoke preset cover other options of training
and evaluation. Then the script compares all files in data/ and the MLflow stores. It depends on the Kedro command line
and the names of parameters and files only, so modules, nodes and datasets can be renamed.

    python benchmarks/same_as.py HEAD
    python benchmarks/same_as.py main --only base modern --jobs 2
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from same_results import IGNORED, SCRUBBED, UNNAMED, Comparison, compare_data, compare_tracking

PROJECT = Path(__file__).parents[1]
IMAGES = 240  # 24 of them in valid and 24 in test: the two-sample test needs 20 in each
SMALL = (
    "preprocess.workers=1,"
    # fixed, because `auto` depended on a timing in earlier revisions
    "train.device=cpu,train.precision=float32,train.threads=1,"
    "train.batch_size=4,train.tick_kimg=0.04,train.evaluate_every_kimg=0.04,train.evaluate_images=8,"
    "train.network.dcgan.width=8,train.network.dcgan.max_width=16,train.network.article.width=16,"
    "train.network.resnet.width=4,train.network.resnet.max_width=8,"
    "train.network.r3.width=8,train.network.r3.max_width=16,train.network.r3.blocks=1,train.network.r3.group_size=8,"
    "train.grid.rows=2,train.grid.columns=4,generate.count=8,generate.grid_rows=2,generate.grid_columns=4,"
    "evaluate.classifier.epochs=1,evaluate.bootstrap=20,evaluate.swd_projections=32,evaluate.swd_patches=8"
)
FORMER = {  # names of parameters in earlier revisions
    "evaluate.compare_with": "evaluate.against",
    "evaluate.checkpoint": "evaluate.which",
    "generate.checkpoint": "generate.which",
}
TICKS = "train.kimg=0.08"  # two ticks
RESUMED = "train.kimg=0.12"  # one more
PORTRAITS, FOLDER = "data/01_raw/synthetic", "data/01_raw/folder"
UNTESTED = "evaluate.two_sample_images=0"  # skips a test that takes minutes at these sizes
REAL = f"source.path={PORTRAITS}"
CHANGES = {  # parameters of a preset besides SMALL
    "article": UNTESTED,
    "celeba": f"{REAL},{UNTESTED}",
    "celeba128": f"{REAL},{UNTESTED}",
    "modern": REAL,
    "folder": f"source.path={FOLDER},source.labels=subfolders,preprocess.condition_on=label,train.condition.name=class",
    "smoke": "train.keep_states=3,train.keep_best=true",
    "conditional_demo": "generate.labels=Blond_Hair+Wearing_Hat",
    "base": "evaluate.promote=true",
}


@dataclass(frozen=True)
class Step:
    """One `kedro run`."""

    preset: str
    pipelines: str
    params: str

    @property
    def arguments(self) -> list[str]:
        """The arguments of `kedro run`."""
        env = [] if self.preset == "base" else ["--env", self.preset]
        return [*env, "--pipelines", self.pipelines, "--params", f"{SMALL},{self.params}"]


MORE = {  # steps that follow the preset's own
    "smoke": [
        Step("smoke", "train,evaluate,generate", f"{CHANGES['smoke']},train.resume_from=0.08,train.kimg=0.16,"
             "evaluate.checkpoint=best,generate.checkpoint=best"),
        Step("smoke", "train", f"{TICKS},experiment=tuned,train.init_from=smoke,train.augment.name=ada,"
             "train.augment.ada.interval=2,train.augment.ada.speed_kimg=0.1,train.objective.name=non_saturating"),
        Step("smoke", "evaluate", "evaluate.model=tuned,evaluate.compare_with=smoke"),
        Step("smoke", "train", f"{TICKS},experiment=hinge,train.objective.name=hinge,train.augment.name=diffaugment,"
             "train.penalty.gradient_penalty.weight=0,train.network.spectral_norm=true,train.micro_batch=2,"
             "train.clip_gradient_norm=1,train.data=resident,train.mirror=false"),
        Step("smoke", "ingest,preprocess,train,evaluate", f"{TICKS},dataset=smoke32,experiment=clipped,"
             "preprocess.size=32,train.random_crop=16,train.weight_clip=0.01,train.penalty.gradient_penalty.weight=0,"
             "train.penalty.drift.weight=0.001,train.generator_optimizer.schedule.name=linear,"
             "train.generator_optimizer.schedule.warm_up_kimg=0.02,train.generator_optimizer.schedule.end_kimg=0.1"),
    ],
}  # fmt: skip


def steps_of(preset: str) -> list[Step]:
    """Trains two ticks; resumes for a third one, evaluates and generates; then the steps in MORE."""
    changes = CHANGES.get(preset, "train.seed=0")
    first = Step(preset, "ingest,preprocess,train", f"{changes},{TICKS}")
    return [first, Step(preset, "train,evaluate,generate", f"{changes},{RESUMED}"), *MORE.get(preset, [])]


def presets() -> list[str]:
    """Every environment in conf/."""
    return sorted(path.name for path in (PROJECT / "conf").iterdir() if path.is_dir() and path.name != "local")


# --- the two projects -----------------------------------------------------------------------------------------------


class StepError(RuntimeError):
    """A project cannot be run; the message has the end of Kedro's output."""


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=PROJECT, check=True, capture_output=True).stdout


def copy_revision(revision: str, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(git("archive", revision))) as archive:
        archive.extractall(folder, filter="data")


def copy_working_tree(folder: Path) -> None:
    for name in git("ls-files", "-coz", "--exclude-standard").decode().split("\0"):
        if (PROJECT / name).is_file():  # git also lists files that were deleted but not committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)


def make_small(folder: Path) -> None:
    """Sets the number of portraits in the catalogs; there is no parameter for it."""
    found = 0
    for path in (folder / "conf").glob("*/catalog.yml"):
        text, changed = re.subn(r"(?m)^(\s.*\bimages:) \d+", rf"\g<1> {IMAGES}", path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")
        found += changed
    if not found:
        raise StepError(f"No catalog in {folder}/conf sets the number of portraits (images: 4096)")


def spelled(folder: Path, argument: str) -> str:
    """Gives parameters the names that they have in a project."""
    fields = {
        field
        for path in (folder / "src").rglob("config.py")
        for field in re.findall(r"(?m)^    (\w+): ", path.read_text(encoding="utf-8"))
    }
    for name, former in FORMER.items():
        if name.rpartition(".")[2] not in fields:
            argument = argument.replace(f"{name}=", f"{former}=")
    return argument


def kedro(folder: Path, step: Step) -> None:
    """Runs a step in a project and appends its output to log.txt.

    Raises:
        StepError: It failed.
    """
    environment = os.environ | {
        "PYTHONPATH": str(folder / "src"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "OMP_NUM_THREADS": "1",
        "KEDRO_DISABLE_TELEMETRY": "1",
        "COLUMNS": "160",
    }
    began = time.monotonic()
    command = [sys.executable, "-m", "kedro", "run", *(spelled(folder, argument) for argument in step.arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}\n")
    print(f"{folder.name:6} {step.preset:17} {step.pipelines:34} {time.monotonic() - began:5.0f} s", flush=True)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise StepError(f"`kedro run {' '.join(step.arguments)}` failed {folder.name} the changes:\n{tail}")


def run_all(folder: Path, names: list[str], stop: threading.Event) -> None:
    """Runs the steps of these presets in a project; skips presets it does not have. A failure stops both projects.

    Raises:
        StepError: A step failed.
    """
    try:
        make_small(folder)
        draw(folder)
        for step in [step for name in names if (folder / "conf" / name).is_dir() for step in steps_of(name)]:
            if stop.is_set():
                return
            kedro(folder, step)
    except StepError:
        stop.set()
        raise


def draw(folder: Path) -> None:
    """Draws the portraits in CelebA's layout, and copies them into a folder with two labels."""
    kedro(folder, Step("base", "ingest", "train.seed=0"))
    with zipfile.ZipFile(folder / PORTRAITS / "img_align_celeba.zip") as archive:
        for number, name in enumerate(archive.namelist()):
            target = folder / FOLDER / ("even", "odd")[number % 2] / Path(name).name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))
            os.utime(target, (0, 0))  # the digest of a folder of images includes it


def main() -> None:
    ignored = "".join(f"\n  {pattern:52}  {why}" for pattern, why in (IGNORED | SCRUBBED).items())
    parser = argparse.ArgumentParser(
        description="Trains and evaluates every preset, small, with the code of a git revision and with that of the "
        "working tree, and compares all results. Exits with 0 if nothing differs, 1 if anything does, 2 "
        "if a `kedro run` fails.",
        epilog=f"Ignored are names of files in {UNNAMED}, and these regular expressions:{ignored}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("revision", metavar="REV", help="git revision to compare the working tree with")
    parser.add_argument("--only", nargs="+", metavar="PRESET", choices=presets(), default=presets(),
                        help=f"presets to run, of {', '.join(presets())}; default: all")  # fmt: skip
    parser.add_argument("--keep", metavar="DIR", type=Path, help="new folder for both projects, `before` and `after`, "
                        "with their data/ and log.txt; default: a temporary one")  # fmt: skip
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=1, help="2: run both projects at the same time")
    arguments = parser.parse_args()
    if arguments.keep and arguments.keep.exists():
        parser.error(f"--keep {arguments.keep} exists; name a new folder")

    with tempfile.TemporaryDirectory(prefix="same_as-") as temporary:
        root = Path(arguments.keep or temporary).resolve()
        before, after = root / "before", root / "after"
        for folder in (before, after):
            folder.mkdir(parents=True)
        try:
            copy_revision(arguments.revision, before)
        except subprocess.CalledProcessError as error:
            parser.error(error.stderr.decode().strip())
        copy_working_tree(after)
        stop = threading.Event()
        try:
            with ThreadPoolExecutor(arguments.jobs) as pool:
                for done in [pool.submit(run_all, folder, arguments.only, stop) for folder in (before, after)]:
                    done.result()
        except StepError as error:
            parser.exit(2, f"{error}\n")
        comparison = Comparison()
        compare_data(comparison, before, after)
        compare_tracking(comparison, before, after)
    counts = ", ".join(f"{count:,} {what}" for what, count in sorted(comparison.counts.items()))
    print(f"{f'{comparison.differences:,} differences' if comparison.differences else 'nothing differs'} ({counts})")
    sys.exit(bool(comparison.differences))


if __name__ == "__main__":
    main()
