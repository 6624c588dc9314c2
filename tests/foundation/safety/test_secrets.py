"""Who logs in is never shown, and nothing else is changed."""

import logging
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeba_gan.foundation.safety.secrets import mask_logs, mask_secrets, mask_values


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:hush@host/celeba/", "https://***@host/celeba/"),
        ("https://hush@host:5000/a, then", "https://***@host:5000/a, then"),
        ("s3://AKIA:hush@bucket/faces", "s3://***@bucket/faces"),
        ("postgresql+psycopg2://me:hu/sh@host/runs", "postgresql+psycopg2://***@host/runs"),
        ("mysql://me:1/hush@host/runs", "mysql://***@host/runs"),
        ("mongodb://me:p@hush@host/runs", "mongodb://***@host/runs"),
        ("socks5://me:hush@proxy:1080", "socks5://***@proxy:1080"),
        ("https://host/x?token=hush", "https://host/x?token=***"),
        ("https://host/x?a=1&access_token=hush&b=2", "https://host/x?a=1&access_token=***&b=2"),
        (
            "https://host/x?X-Amz-Signature=hush&X-Amz-Credential=hush",
            "https://host/x?X-Amz-Signature=***&X-Amz-Credential=***",
        ),
        ("https://host/x?sig=hush%3D#top", "https://host/x?sig=***#top"),
        ("https://host/x?api_key=hush' cannot", "https://host/x?api_key=***' cannot"),
        ("host=db password=hush user=me", "host=db password=*** user=me"),
        ("AZURE_CLIENT_SECRET=hush", "AZURE_CLIENT_SECRET=***"),
        ("Authorization: Bearer hushhushhush", "Authorization: Bearer ***"),
        ("HF_TOKEN is hf_hushhushhush", "HF_TOKEN is ***"),
        ("mssql://host/db;UID=me;PWD=hush;x=1", "mssql://host/db;UID=me;PWD=***;x=1"),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert mask_secrets(text) == shown
    quoted = shlex.join(["kedro", "run", "--params", f"source.path={text}"])
    assert "hush" not in mask_secrets(quoted)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/#/experiments/1/runs/abc?workflowType=machine_learning",
        "http://plain:5000/a@b",
        "models:/faces@champion",
        "sqlite:////home/me@work/mlflow.db",
        "s3://bucket/faces",
        "me@host.example",
        "train.seed=5, source.path=/a?b=c&d=e",
        "a Basic idea; the Bearer of it",
        "the key is keyboard=qwerty",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask_secrets(text) == text


PART = st.text(st.characters(codec="ascii", exclude_characters=" \t\r\n\v\f\x1c\x1d\x1e\x1f@/'\"?#&;\\"), min_size=1)


@given(scheme=st.sampled_from(["http", "https", "s3", "postgresql", "mysql+pymysql", "ftp"]), user=PART, password=PART)
def test_no_password_survives(scheme: str, user: str, password: str) -> None:
    masked = mask_secrets(f"Trying {scheme}://{user}:{password}@host/x now")
    assert masked == f"Trying {scheme}://***@host/x now"


@given(st.text())
def test_masking_twice_is_masking_once(text: str) -> None:
    once = mask_secrets(text)
    assert mask_secrets(once) == once


def test_long_texts_take_linear_time() -> None:
    """With patterns of unlimited length this did not end within ten minutes."""
    for part in ("a", "://", "?a", "token", "secret=", "://a:", "key=&"):
        mask_secrets(part * 20_000)


def test_values_of_documents_are_masked_at_any_depth() -> None:
    values = {"a": ["https://me:hush@host", {"b": "https://me:hush@host"}], "c": 1, "d": None}
    assert mask_values(values) == {"a": ["https://***@host", {"b": "https://***@host"}], "c": 1, "d": None}


def test_records_of_the_log_are_masked_whoever_logs(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogRecordFactory()
    try:
        mask_logs()
        mask_logs()
        logging.getLogger("another.package").warning("no answer from %s (%d)", "https://me:hush@host", 5)
        logging.getLogger("another.package").warning("plain %s", "text")
    finally:
        logging.setLogRecordFactory(before)
    assert caplog.messages == ["no answer from https://***@host (5)", "plain text"]
    assert caplog.records[1].args == ("text",)
