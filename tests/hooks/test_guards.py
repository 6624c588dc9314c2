import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kedro.framework.context import KedroContext
from kedro.framework.session import KedroSession

from celeba_gan.hooks.guards import FolderError, ParameterError, check_folder

Load = Callable[..., KedroContext]
OTHER_COMMANDS = [["viz", "build"], ["catalog", "describe-datasets"]]


def refusal(load: Load, env: str | None = None, **runtime_params: object) -> str:
    with pytest.raises(ParameterError) as caught:
        load(env, **runtime_params)
    return str(caught.value)


def write(path: Path, content: dict[str, object]) -> None:
    path.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("env", sorted(p.name for p in (Path(__file__).parents[2] / "conf").iterdir() if p.is_dir()))
def test_every_environment_of_the_project_passes(load_context: Load, env: str) -> None:
    load_context(env)


@pytest.mark.parametrize(
    "command", [["run"], *(pytest.param(words, marks=pytest.mark.slow) for words in OTHER_COMMANDS)]
)
def test_a_folder_with_brackets_is_refused_by_every_command(project: Path, command: list[str]) -> None:
    renamed = project.rename(project.with_name("faces[1]"))
    done = subprocess.run(
        [sys.executable, "-m", "kedro", *command], cwd=renamed, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    expected = (
        f"Error: Kedro finds no configuration in {renamed}: it reads [ and ] in a path as a pattern. "
        "Rename the folder, or move the project to one without square brackets"
    )
    assert done.stderr.splitlines()[-1] == expected


@pytest.mark.parametrize("command", [["run"], pytest.param(OTHER_COMMANDS[0], marks=pytest.mark.slow)])
def test_an_environment_that_is_not_there_is_refused_by_every_command(project: Path, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kedro", *command],
        cwd=project,
        env={**os.environ, "KEDRO_ENV": "smokey"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    said = f"Error: There is no environment 'smokey' in {project / 'conf'}; did you mean 'smoke'? There are: article, "
    assert said in done.stderr


@pytest.mark.usefixtures("load_context")
def test_a_session_refuses_brackets_too(project: Path) -> None:
    renamed = project.rename(project.with_name("faces[1]"))
    with pytest.raises(FolderError, match="without square brackets"):
        KedroSession.create(renamed).load_context()
    check_folder(Path("/a b/%20/50% ?#&$/grün"))


def test_allowed_runtime_parameters_pass(load_context: Load) -> None:
    load_context(dataset="my_faces", experiment="a.b-c_1", train={"kimg": 5})
    load_context("celeba", source={"path": "/mnt/celeba"})


@pytest.mark.parametrize(
    "value", [5, False, ["a"], *(pytest.param(one, marks=pytest.mark.slow) for one in (1.1, {"nested": 1}))]
)
def test_text_that_was_read_as_something_else_is_refused_with_its_spelling(load_context: Load, value: object) -> None:
    """From kedro viz, notebooks and files: there is no way back from 1.1 to the 1.10 that was typed."""
    message = refusal(load_context, experiment=value, train={"init_from": value})
    assert (
        f"experiment in --params is {value!r}, which is not text; write it in quotes: \"experiment='TEXT'\"" in message
    )
    assert "train.init_from" in message
    if not isinstance(value, list | dict):
        assert f"train.init_from is {value!r}, which is not text; write it in quotes" in message
    assert f"source.path in --params is {value!r}, which" in refusal(load_context, "folder", source={"path": value})


def test_a_misspelt_name_in_globals_is_refused_and_one_of_the_users_own_is_not(
    load_context: Load, project: Path
) -> None:
    file = project / "conf/local/globals.yml"
    file.write_text("experimnt: mine\n")
    assert "globals.yml has 'experimnt'; did you mean 'experiment'?" in refusal(load_context)
    file.write_text("bucket: mine\n")
    load_context()


def test_a_number_as_a_name_in_globals_is_refused(load_context: Load, project: Path) -> None:
    (project / "conf/local/globals.yml").write_text("dataset: 0123\n")
    assert "dataset in globals.yml is 83, which is not text; write it in quotes: dataset: 'TEXT'" in refusal(
        load_context
    )


def test_a_misspelt_top_level_key_names_the_nearest_and_all(load_context: Load, project: Path) -> None:
    message = refusal(load_context, trian={"kimg": 5})
    assert "'trian' in --params; did you mean 'train'?" in message
    assert "dataset, evaluate, experiment, export, generate, ingest, preprocess, source, storage, train" in message

    write(project / "conf/local/parameters.yml", {"evalute": {"seed": 1}})
    message = refusal(load_context)
    assert "'evalute' in the parameters.yml files; did you mean 'evaluate'?" in message


@pytest.mark.parametrize(
    ("key", "value", "way_out"),
    [
        ("dataset", "mine", "globals.yml"),
        ("experiment", "mine", "globals.yml"),
        ("source", {"path": "/faces"}, "filepath of celeba"),
    ],
)
def test_runtime_only_keys_are_refused_in_files(
    load_context: Load, project: Path, key: str, value: object, way_out: str
) -> None:
    write(project / "conf/local/parameters.yml", {key: value})
    message = refusal(load_context)
    assert f"'{key}' in the parameters.yml files has no effect" in message
    assert way_out in message


def test_templates_in_files_pass(load_context: Load, project: Path) -> None:
    write(project / "conf/local/parameters.yml", {"_adam": {"beta1": 0.5}})
    load_context()


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "..", "", None, "a b", "x\n"])
def test_a_name_that_leaves_its_folder_is_refused(load_context: Load, name: object) -> None:
    message = refusal(load_context, dataset=name, experiment=name)
    assert "dataset in --params names a folder" in message
    assert "experiment in --params names a folder" in message


def test_an_experiment_does_not_take_the_folder_of_the_data_reports(load_context: Load) -> None:
    assert "experiment is 'datasets', which is the folder of the reports on data" in refusal(
        load_context, experiment="datasets"
    )
    load_context(dataset="datasets")


@pytest.mark.parametrize("name", ["../x", None])
def test_names_in_globals_are_held_to_the_same(load_context: Load, project: Path, name: object) -> None:
    write(project / "conf/local/globals.yml", {"experiment": name})
    assert "experiment in globals.yml names a folder" in refusal(load_context)


def test_a_good_name_in_params_stands_in_for_a_bad_one_in_globals(load_context: Load, project: Path) -> None:
    write(project / "conf/local/globals.yml", {"experiment": "../x"})
    load_context(experiment="fine")


def test_source_is_checked_against_the_catalog_of_the_environment(load_context: Load) -> None:
    assert "DrawnPortraits that does not use it; add --env celeba" in refusal(load_context, source={"path": "/faces"})
    assert "source.pth in --params; did you mean 'path'?" in refusal(load_context, "celeba", source={"pth": "/faces"})
    assert "give source.path=/faces" in refusal(load_context, "celeba", source="/faces")
    assert "source.path in --params is empty" in refusal(load_context, "celeba", source={"path": None})
    assert "source.download in --params is empty; give google_drive" in refusal(
        load_context, "celeba", source={"download": None}
    )


@pytest.mark.parametrize(
    ("environment", "field", "value", "way_out"),
    [
        (None, "download", "google_drive", "add --env celeba"),
        ("folder", "download", "google_drive", "add --env celeba"),
        ("celeba", "labels", "subfolders", "add --env folder"),
        (None, "path", "/faces", "or --env folder"),
    ],
)
def test_a_field_of_source_that_the_environment_would_not_read_is_refused(
    load_context: Load, environment: str | None, field: str, value: str, way_out: str
) -> None:
    message = refusal(load_context, environment, source={field: value})
    assert f"source.{field}={value} has no effect" in message
    assert way_out in message


def test_fields_of_source_that_the_environment_reads_pass(load_context: Load) -> None:
    load_context("celeba", source={"path": "/mnt/celeba", "download": "https://example.org/celeba/"})
    load_context("folder", source={"path": "/mnt/faces", "labels": "subfolders"})


def test_the_network_must_exist_at_the_size_that_the_random_crop_leaves(load_context: Load) -> None:
    load_context(preprocess={"size": 72}, train={"random_crop": 64})
    assert "network.name: dcgan needs a size" in refusal(load_context, preprocess={"size": 72})
    assert "train.random_crop is 128 pixels, the packed images have 72" in refusal(
        load_context, preprocess={"size": 72}, train={"random_crop": 128}
    )


def test_values_of_all_sections_are_checked_and_named_as_params_spells_them(load_context: Load) -> None:
    message = refusal(
        load_context,
        train={"kimgg": 1, "batch_size": 0, "network": {"dcgan": {"widht": 3}}, "tick_kimg": "soon"},
        evaluate={"seeds": 1},
        preprocess={"crop": "half", "condition_on": [1]},
        generate={"count": -1},
    )
    lines = message.splitlines()
    (misspelt,) = (line for line in lines if "train.kimgg" in line)
    assert misspelt.startswith("There is no parameter train.kimgg; did you mean 'kimg'? There are: ")
    assert {"seed", "resume", "kimg", "grid"} <= set(misspelt.partition("There are: ")[2].split(", "))
    assert "There is no parameter train.network.dcgan.widht; did you mean 'width'? There are: width, max" in message
    assert "train.batch_size is 0: Input should be greater than or equal to 1" in lines
    assert any(line.startswith("train.tick_kimg is 'soon': Input should be a valid number") for line in lines)
    assert "There is no parameter evaluate.seeds; did you mean 'seed'?" in message
    assert any(line.startswith("preprocess.crop is 'half': ") for line in lines)
    assert any(line.startswith("generate.count is -1: ") for line in lines)


def test_a_missing_value_and_a_clash_between_values_are_named(load_context: Load, project: Path) -> None:
    assert "train: tick_kimg 0.001 is shorter than one iteration" in refusal(load_context, train={"tick_kimg": 0.001})
    base = project / "conf/base/parameters.yml"
    parameters = yaml.safe_load(base.read_text())
    del parameters["train"]["kimg"]
    write(base, parameters)
    assert refusal(load_context) == "train.kimg is missing; give it in parameters.yml or with --params"


def test_an_environment_that_is_not_there_is_named_with_the_nearest(load_context: Load) -> None:
    message = refusal(load_context, "celbea")
    assert "There is no environment 'celbea'" in message
    assert "did you mean 'celeba'?" in message


def test_the_guard_imports_nothing_heavy() -> None:
    script = (
        "import sys, celeba_gan.hooks.guards, celeba_gan.hooks.errors\n"
        "import celeba_gan.hooks.run_folders, celeba_gan.hooks.summary\n"
        "print([name for name in ('torch', 'pandas', 'mlflow', 'pyarrow') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
