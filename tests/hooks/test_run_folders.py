"""The folders of a run: locked, kept free of stale results, and set aside where a training starts anew."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines, settings
from kedro.io import DataCatalog, SharedMemoryDataCatalog
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from celeba_gan.datasets.catalog import StaleAwareCatalog
from celeba_gan.foundation.locks import LockError
from celeba_gan.gan.runs.run import Run
from celeba_gan.gan.runs.snapshot import Snapshot
from celeba_gan.hooks.errors import message_for_people
from celeba_gan.hooks.run_folders import RunFolders, SetAsideError, StaleOutputsError

SAVED = time.mktime((2026, 11, 23, 5, 10, 0, 0, 0, -1))
STAMP = "2026-11-23T05-10-00"
LAYERS = ("06_models", "07_model_output", "08_reporting")

Start = Callable[..., None]

# --- locks ----------------------------------------------------------------------------------------------------------

TRAIN = Pipeline([Node(lambda: None, None, "training_run", name="train_gan")])
PACK = Pipeline([Node(lambda: None, None, "packed_images", name="pack_images")])
EVALUATE = Pipeline([Node(lambda run: run, "training_run", "evaluation", name="evaluate")])


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., RunFolders]:
    """The hook after `before_pipeline_run`."""

    def run(pipeline: Pipeline, name: str = "demo", hook: RunFolders | None = None) -> RunFolders:
        hook = hook or RunFolders()
        hook.after_catalog_created(
            {
                "training_run": {"filepath": str(tmp_path / "models" / name)},
                "packed_images": {"filepath": str(tmp_path / "packed" / name / "images")},
            }
        )
        hook.before_pipeline_run({}, pipeline, DataCatalog())
        return hook

    return run


@pytest.mark.parametrize(("pipeline", "kind"), [(TRAIN, "experiment"), (PACK, "dataset")])
def test_a_second_writer_is_refused_until_the_first_has_ended(
    begin: Callable[..., RunFolders], pipeline: Pipeline, kind: str
) -> None:
    first = begin(pipeline)
    with pytest.raises(LockError, match=rf"demo.*--params {kind}=NAME"):
        begin(pipeline)
    first.after_pipeline_run()
    second = begin(pipeline)
    second.on_pipeline_error()
    begin(pipeline).after_pipeline_run()


def test_a_refused_run_leaves_no_lock_behind(begin: Callable[..., RunFolders]) -> None:
    first = begin(TRAIN)
    with pytest.raises(LockError, match="experiment"):
        begin(PACK + TRAIN)
    begin(PACK).after_pipeline_run()
    first.after_pipeline_run()


def test_other_experiments_and_readers_are_free(begin: Callable[..., RunFolders]) -> None:
    hooks = [begin(TRAIN), begin(TRAIN, "other"), begin(EVALUATE), begin(PACK)]
    for hook in hooks:
        hook.after_pipeline_run()


def test_an_interrupted_run_of_this_process_keeps_no_lock(begin: Callable[..., RunFolders]) -> None:
    hook = begin(TRAIN)  # interrupted: Kedro calls no hook then
    begin(TRAIN, hook=hook).after_pipeline_run()


def test_a_killed_process_keeps_no_lock(begin: Callable[..., RunFolders], tmp_path: Path) -> None:
    script = f"""
import os
from kedro.io import DataCatalog, SharedMemoryDataCatalog
from kedro.pipeline import Node, Pipeline
from celeba_gan.hooks.errors import message_for_people
from celeba_gan.hooks.run_folders import RunFolders

hook = RunFolders()
hook.after_catalog_created({{"training_run": {{"filepath": {str(tmp_path / "models/demo")!r}}}}})
hook.before_pipeline_run({{}}, Pipeline([Node(lambda: None, None, "training_run", name="train_gan")]), DataCatalog())
print("locked", flush=True)
input()
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(LockError):
            begin(TRAIN)
        process.kill()
    begin(TRAIN).after_pipeline_run()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_without_locks_the_run_goes_on_with_a_warning(
    begin: Callable[..., RunFolders], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    first, second = begin(TRAIN), begin(TRAIN)
    first.after_pipeline_run()
    second.after_pipeline_run()
    (warning, _) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "models has no locks" in warning
    assert os.strerror(code) in warning
    monkeypatch.undo()
    begin(TRAIN).after_pipeline_run()  # nothing is left that looks like a lock


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.EACCES, "Change the owner or the mode of"),
        (errno.EROFS, "Change the owner or the mode of"),
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "Free some space"),
        (errno.EIO, "must be a folder on a disk"),
    ],
)
def test_a_lock_file_that_cannot_be_written_is_one_sentence(
    begin: Callable[..., RunFolders], refuse_lock_files: Callable[[int], None], code: int, advice: str
) -> None:
    refuse_lock_files(code)
    with pytest.raises(LockError, match=rf"lock file .*\.demo\.lock, which cannot be written: .*{advice}") as error:
        begin(TRAIN)
    assert os.strerror(code) in str(error.value)
    assert "Another run" not in str(error.value)
    assert message_for_people(error.value) == str(error.value)


def test_a_file_in_place_of_the_folder_is_named(begin: Callable[..., RunFolders], tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(LockError, match=r"Check .*models: it must be a folder"):
        begin(TRAIN)


# --- stale results --------------------------------------------------------------------------------------------------

ran: list[str] = []


def stage(name: str, inputs: list[str], outputs: list[str]) -> Node:
    def make(*values: object) -> list[str]:
        ran.append(name)
        return [name] * len(outputs)

    return Node(make, inputs, outputs, name=name)


# raw -> pack -> packed -> train -> state, grids -> film
#                                   state -> export -> (memory) network -> evaluate -> evaluation
PIPELINE = Pipeline(
    [
        stage("pack", ["raw"], ["packed"]),
        stage("train", ["packed"], ["state", "grids"]),
        stage("film", ["grids"], ["film"]),
        stage("export", ["state"], ["network"]),
        stage("evaluate", ["network"], ["evaluation"]),
    ]
)
ON_DISK = ("raw", "packed", "state", "grids", "film", "evaluation")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ON_DISK:
        (tmp_path / f"{name}.json").write_text('"old"')
    return tmp_path


def stale_aware(folder: Path) -> StaleAwareCatalog:
    return StaleAwareCatalog.from_config(
        {name: {"type": "json.JSONDataset", "filepath": str(folder / f"{name}.json")} for name in ON_DISK}
    )


def run_stages(folder: Path, *, only_missing: bool = True) -> list[str]:
    """Names of the nodes that ran in Kedro's own runner, in order of name."""
    ran.clear()
    catalog = stale_aware(folder)
    RunFolders().before_pipeline_run({"only_missing_outputs": only_missing}, PIPELINE, catalog)
    SequentialRunner().run(PIPELINE, catalog, only_missing_outputs=only_missing)
    return sorted(ran)


def test_nothing_missing_runs_nothing(folder: Path) -> None:
    assert run_stages(folder) == []


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("packed", ["evaluate", "export", "film", "pack", "train"]),
        ("state", ["evaluate", "export", "film", "train"]),
        ("grids", ["evaluate", "export", "film", "train"]),  # the node makes both anew
        ("film", ["film"]),
        ("evaluation", ["evaluate", "export"]),  # what is only in memory is made when it is needed
    ],
)
def test_missing_spreads_downstream_and_only_there(folder: Path, missing: str, expected: list[str]) -> None:
    (folder / f"{missing}.json").unlink()
    assert run_stages(folder) == expected
    assert run_stages(folder) == []


def test_a_plain_run_runs_everything_and_is_not_touched(folder: Path) -> None:
    assert run_stages(folder, only_missing=False) == ["evaluate", "export", "film", "pack", "train"]


def test_the_mark_is_of_one_catalog(folder: Path) -> None:
    (folder / "packed.json").unlink()
    catalog = stale_aware(folder)
    RunFolders().before_pipeline_run({"only_missing_outputs": True}, PIPELINE, catalog)
    assert not catalog.exists("evaluation")
    assert catalog.exists("raw")
    assert stale_aware(folder).exists("evaluation")


def test_a_catalog_that_cannot_be_marked_is_refused_before_stale_results_are_kept(folder: Path) -> None:
    """ParallelRunner has a catalog class of its own."""
    other = SharedMemoryDataCatalog.from_config(
        {name: {"type": "json.JSONDataset", "filepath": str(folder / f"{name}.json")} for name in ON_DISK}
    )
    RunFolders().before_pipeline_run({"only_missing_outputs": True}, PIPELINE, other)  # nothing is stale
    (folder / "film.json").unlink()
    RunFolders().before_pipeline_run({"only_missing_outputs": True}, PIPELINE, other)  # nothing that is there is stale
    (folder / "packed.json").unlink()
    with pytest.raises(StaleOutputsError, match=r"evaluation, grids, state.*--runner"):
        RunFolders().before_pipeline_run({"only_missing_outputs": True}, PIPELINE, other)


# --- setting aside --------------------------------------------------------------------------------------------------


@pytest.fixture
def start(load_context: Callable[..., KedroContext]) -> Start:
    """What happens before a run of these pipelines, in Kedro's order."""

    def begin(*names: str, only_missing: bool = False, **runtime_params: object) -> None:
        catalog = load_context(**runtime_params)._get_catalog(
            catalog_class=settings.DATA_CATALOG_CLASS
        )  # as a run does
        (hook,) = (hook for hook in settings.HOOKS if isinstance(hook, RunFolders))
        running = sum((pipelines[name] for name in names), start=Pipeline([]))
        try:
            hook.before_pipeline_run({"only_missing_outputs": only_missing}, running, catalog)
        finally:
            hook.after_pipeline_run()

    return begin


@pytest.fixture
def trained(project: Path, make_snapshot: Callable[..., Snapshot]) -> Path:
    """The data folder after a finished training, evaluation and generation of the experiment `demo`."""
    data = project / "data"
    Run(data / "06_models/demo").append(make_snapshot(1000, finished=True))
    for name in (
        "07_model_output/demo/metric_rows/000000000000.json",
        "07_model_output/demo/training_grids/000000000000.png",
        "07_model_output/demo/samples/000000.png",
        "08_reporting/demo/evaluation.json",
        "06_models/other/generator.json",
    ):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("[]")
    for path in [data, *data.rglob("*")]:
        os.utime(path, (SAVED, SAVED))
    return data


def files(data: Path) -> set[str]:
    return {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file() and path.suffix != ".lock"}


def names(data: Path, layer: str) -> list[str]:
    return sorted(path.name for path in (data / layer).iterdir() if path.suffix != ".lock")


def test_resume_false_renames_the_three_folders_and_loses_nothing(
    start: Start, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(trained)
    start("train", train={"resume": False})
    assert files(trained) == {name.replace("/demo/", f"/demo.{STAMP}/") for name in before}
    assert names(trained, "06_models") == [f"demo.{STAMP}", "other"]
    said = "".join(capsys.readouterr().out.split())  # in lines of the terminal's width
    assert all(f"{layer}/demo.{STAMP}" in said for layer in LAYERS)


def test_a_repeated_run_sets_aside_again_under_another_name(start: Start, trained: Path) -> None:
    start("train", train={"resume": False})
    again = trained / "06_models/demo/training_state/state.safetensors"
    again.parent.mkdir(parents=True)
    again.write_bytes(b"of the second training")
    for path in (again, again.parent, again.parent.parent):
        os.utime(path, (SAVED, SAVED))
    start("train", train={"resume": False})
    assert names(trained, "06_models") == [f"demo.{STAMP}", f"demo.{STAMP}-2", "other"]
    assert names(trained, "08_reporting") == [f"demo.{STAMP}"]


def test_with_nothing_there_nothing_happens(start: Start, project: Path) -> None:
    start("train", train={"resume": False})
    assert names(project / "data", "06_models") == []
    assert files(project / "data") == set()


def test_what_is_left_of_a_removed_training_is_set_aside(start: Start, trained: Path) -> None:
    shutil.rmtree(trained / "06_models/demo")
    before = files(trained)
    start("__default__")
    assert files(trained) == {name.replace("/demo/", f"/demo.{STAMP}/") for name in before}


@pytest.mark.parametrize("pipeline", ["ingest", "preprocess", "evaluate", "generate"])
def test_only_a_run_that_trains_sets_aside(start: Start, trained: Path, pipeline: str) -> None:
    before = files(trained)
    start(pipeline, train={"resume": False})
    assert files(trained) == before


def test_a_resumed_training_is_left_alone(start: Start, trained: Path) -> None:
    before = files(trained)
    start("__default__")
    assert files(trained) == before


@pytest.mark.parametrize("leftover", [False, True])
def test_ticks_without_their_snapshot_are_set_aside(start: Start, trained: Path, leftover: bool) -> None:
    state = trained / "06_models/demo/training_state"
    (state / "state.safetensors").unlink()
    if leftover:  # of a process that was killed while it saved
        (state / ".state.safetensors.partial").mkdir()
    start("__default__")
    assert names(trained, "07_model_output") == [f"demo.{STAMP}"]
    assert names(trained, "06_models")[0].startswith("demo.")


def test_only_missing_outputs_leaves_a_complete_training_alone_but_not_one_that_has_to_run(
    start: Start, trained: Path
) -> None:
    before = files(trained)
    start("train", only_missing=True, train={"resume": False})
    assert files(trained) == before
    (trained / "07_model_output/demo/metric_rows/000000000000.json").unlink()
    start("train", only_missing=True, train={"resume": False})
    assert names(trained, "06_models") == [f"demo.{STAMP}", "other"]


def test_a_complete_training_whose_images_are_gone_has_to_run(start: Start, trained: Path) -> None:
    start("preprocess", "train", only_missing=True, train={"resume": False})
    assert names(trained, "06_models") == [f"demo.{STAMP}", "other"]


def test_a_damaged_snapshot_is_set_aside_like_any_other(start: Start, trained: Path) -> None:
    (trained / "06_models/demo/training_state/state.safetensors").write_bytes(b"of a full disk")
    start("train", train={"resume": False})
    assert names(trained, "07_model_output") == [f"demo.{STAMP}"]
    assert names(trained, "06_models")[0].startswith("demo.")


def test_a_run_outside_a_folder_of_the_experiment_is_not_guessed_at(start: Start, trained: Path, project: Path) -> None:
    catalog = project / "conf/base/catalog.yml"
    before, after = "_run: ${_models}/${_experiment}", "_run: ${_models}/mine"
    assert before in catalog.read_text()
    catalog.write_text(catalog.read_text().replace(before, after))
    (trained / "06_models/demo").rename(trained / "06_models/mine")
    before = files(trained)
    with pytest.raises(SetAsideError, match="globals:experiment"):
        start("train", train={"resume": False})
    assert files(trained) == before
