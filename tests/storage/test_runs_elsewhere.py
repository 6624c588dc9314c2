"""`kedro run` with images in a bucket, as people type it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import s3fs
from s3_server import KEY, SECRET
from safetensors.torch import load_file

from kedro_here import TRAINED, kedro_run

PASSWORD = "hunter2hunter2"


@pytest.fixture
def bucket(server: int, s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a new bucket, which the environment's credentials open."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server}")
    return s3.removesuffix("/packed")


def holders(folder: Path, secret: str) -> list[Path]:
    """The files, of whatever kind, that hold a text."""
    return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


@pytest.mark.slow
def test_training_from_a_bucket_is_training_from_the_disk(
    bucket: str, trained_project: Path, copy_project: Callable[[Path], Path], tmp_path: Path
) -> None:
    """One machine packs; another, which has nothing but the bucket, and a cache too small for it, trains."""
    first, second = copy_project(tmp_path / "first"), copy_project(tmp_path / "second")
    place = f"storage.packed={bucket}/sets"
    printed = kedro_run(first, "--env", "smoke", "--pipelines", "ingest,preprocess", "--params", place).text
    assert "160 images of 16x16 pixels" in printed
    params = f"{TRAINED},{place},storage.cache_gb=0.00006"
    printed += kedro_run(second, "--env", "smoke", "--pipelines", "train", "--params", params).text
    assert "The cache of 60.0 kB" in printed
    for name in ("generator", "discriminator"):
        mine, its = (
            load_file(project / f"data/06_models/smoke/{name}.safetensors") for project in (second, trained_project)
        )
        assert mine.keys() == its.keys()
        assert all(mine[key].equal(its[key]) for key in mine)
    cached = sum(path.stat().st_size for path in (second / "data/05_model_input").rglob("*") if path.is_file())
    assert 10_000 < cached <= 60_000
    for secret in (SECRET, KEY):
        assert secret not in printed
        assert not holders(tmp_path, secret)


@pytest.mark.slow
def test_photographs_in_a_bucket_are_packed_into_another(
    bucket: str, trained_project: Path, copy_project: Callable[[Path], Path], tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "project")
    files = s3fs.S3FileSystem()
    source = trained_project / "data/01_raw/smoke"
    files.put(str(source) + "/", f"{bucket}/raw/", recursive=True)
    params = f"source.path={bucket}/raw,storage.packed={bucket}/sets,preprocess.size=16,preprocess.workers=1"
    arguments = ("--env", "celeba_small", "--pipelines", "ingest,preprocess", "--params", params)
    printed = kedro_run(project, *arguments)
    assert "160 images of 16x16 pixels" in printed.text
    assert files.exists(f"{bucket}/sets/celeba/images/manifest.json")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("storage.packed=s3://no-such-bucket/x", "cannot be written: there is no such bucket or file"),
        ("storage.packed=gs://bucket/x", "needs the extra gcs, which is not installed: pip install 'celeba-gan[gcs]'"),
        (f"storage.packed=s3://me:{PASSWORD}@bucket/x", "s3://***@bucket/x/smoke/"),
        ("storage.pakced=s3://bucket/x", "There is no storage.pakced in --params; did you mean 'packed'?"),
        ("storage.cache_gb=-1", "storage.cache_gb in --params is -1: Input should be greater than or equal to 0"),
        ("storage=s3://bucket", "storage in --params has the fields packed, cache, cache_gb, read_ahead, patience_s"),
        (f"source.path=s3://me:{PASSWORD}@bucket/x", "has no effect: in this environment"),
    ],
)
def test_what_cannot_work_is_said_before_the_work(
    bucket: str, copy_project: Callable[[Path], Path], tmp_path: Path, params: str, message: str
) -> None:
    project = copy_project(tmp_path / "project")
    done = kedro_run(project, "--env", "smoke", "--params", params, status=1)
    assert message in done.words
    assert "Traceback" not in done.text
    assert PASSWORD not in done.text
    assert not (project / "data/01_raw").exists()


def test_a_bucket_without_the_images_says_what_makes_them(
    bucket: str, copy_project: Callable[[Path], Path], tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "project")
    arguments: Any = ("--env", "smoke", "--pipelines", "train", "--params", f"storage.packed={bucket}/sets")
    done = kedro_run(project, *arguments, status=1)
    assert f"{bucket}/sets/smoke/classes.csv is missing. Make it with kedro run --pipelines preprocess" in done.words


@pytest.mark.slow
def test_credentials_may_be_those_of_the_catalog(
    bucket: str, copy_project: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Kedro's users write them: in credentials.yml, which no commit has."""
    project = copy_project(tmp_path / "project")
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    catalog = project / "conf/base/catalog.yml"
    text = catalog.read_text()
    for entry in ("packed_images", "packed_images_previous", "labels", "classes"):
        begin = f"\n{entry}:" if f"\n{entry}:\n" in text else f"\n{entry}: #"
        at = text.index("\n", text.index(begin) + 1)
        text = f"{text[:at]}\n  credentials: bucket{text[at:]}"
    catalog.write_text(text)
    (project / "conf/smoke/credentials.yml").write_text(
        f"bucket: {{ key: {KEY}, secret: {SECRET}, client_kwargs: {{ endpoint_url: '{endpoint}' }} }}\n"
    )
    arguments: Any = ("--env", "smoke", "--pipelines", "ingest,preprocess")
    done = kedro_run(project, *arguments, "--params", f"storage.packed={bucket}/sets")
    assert "160 images of 16x16 pixels" in done.text
    assert SECRET not in done.text
    assert {path.name for path in holders(project, SECRET)} == {"credentials.yml"}
