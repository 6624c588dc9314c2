"""Who logs in is never shown, and nothing else is changed."""

import io
import json
import logging
import logging.handlers
import queue
import re
import shlex
import string
import traceback
from collections.abc import Callable, Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.console import Console
from rich.logging import RichHandler

from celeba_gan.foundation.safety.secrets import mask_error, mask_logs, mask_secrets, mask_values


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
        ("https://me:12345/hush@host/x", "https://***@host/x"),
        ("https://me:1234567/hush@host", "https://***@host"),
        ("https://me:hu%2Fsh%40hush@host/x", "https://***@host/x"),
        ("sftp://me:hush@host/x", "sftp://***@host/x"),
        ("connect(password='hush', user='me')", "connect(password='***', user='me')"),
        ("connect(password='it\\'s hush', user='me')", "connect(password='***', user='me')"),
        ("password = 'hush hush'", "password = '***'"),
        ("password='hush", "password='***'"),
        ('{"secret": "hush", "user": "me"}', '{"secret": "***", "user": "me"}'),
        ('"{\\"secret\\": \\"hush\\", \\"user\\": \\"me\\"}"', '"{\\"secret\\": \\"***\\", \\"user\\": \\"me\\"}"'),
        ("{'aws_secret_access_key': b'hush'}", "{'aws_secret_access_key': b'***'}"),
        ("{'Authorization': 'Custom hush'}", "{'Authorization': '***'}"),
        ("{password: hush, user: me}", "{password: ***, user: me}"),
        ("gcs:\n  - client_secret: hush\n", "gcs:\n  - client_secret: ***\n"),
        ("aws_secret_access_key = hush", "aws_secret_access_key = ***"),
        ("api_key=hush", "api_key=***"),
        ("account_key=hush/+==;x", "account_key=***;x"),
        ("AccountKey=hush/+==;EndpointSuffix=x", "AccountKey=***;EndpointSuffix=x"),
        ("storage.sas_token=hush", "storage.sas_token=***"),
        ("failed: ghp_hushhushhushhush", "failed: ***"),
        ("failed: github_pat_hush_hushhushhush.", "failed: ***."),
        ("(AKIAIOSFODNN7EXAMPLE)", "(***)"),
        ("Authorization: token hush", "Authorization: token ***"),
        ("authorization: bearer hush", "authorization: bearer ***"),
        ("Authorization: Basic aHVzaDpodXNo", "Authorization: Basic ***"),
        ("headers: Basic aHVzaDpodXNo", "headers: Basic ***"),
        (
            "AWS4-HMAC-SHA256 Credential=AKIAhush/20260101/s3, Signature=hush0123456789abcdef",
            "AWS4-HMAC-SHA256 Credential=***, Signature=***",
        ),
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
        "keys=3, token_count: 5, max_tokens=7, n_secrets=2",
        "the secret of good faces; a password is needed: give one",
        "Basic authentication failed, Bearer authentication too",
        "git@github.com:me/faces.git",
        "ssh://git@host/faces and sftp://me@host:22/faces",
        "/home/me@work/data, data/a@b/c.png",
        "http://host.example:5000/a@b/c",
        "http://localhost:5000/a@b/c",
        "http://[::1]:5000/a@b",
        "generator.key: tensor(512, 1)\ncls_token: torch.Size([1, 1, 768])\nquery: 3",
        "{'key': 'value', 'cls_token': tensor([1, 2]), 'sort_key': 'name'}",
        "connect(password=None, token=None); {'password': None, 'secret': null}",
        "from huggingface_hub import hf_hub_download",
        "password=\n",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask_secrets(text) == text


PART = st.text(st.characters(codec="ascii", exclude_characters=" \t\r\n\v\f\x1c\x1d\x1e\x1f@/'\"?#&;\\"), min_size=1)


@given(scheme=st.sampled_from(["http", "https", "s3", "postgresql", "mysql+pymysql", "ftp"]), user=PART, password=PART)
def test_no_password_survives(scheme: str, user: str, password: str) -> None:
    masked = mask_secrets(f"Trying {scheme}://{user}:{password}@host/x now")
    assert masked == f"Trying {scheme}://***@host/x now"


SECRETS = st.text(string.ascii_letters + string.digits + "/+=_.-~%!$*", min_size=1, max_size=50).map(
    "hush{}hush".format
)
NAMES = st.sampled_from(
    [
        *("password", "passwd", "PGPASSWORD", "db_password", "secret", "client_secret", "aws_secret_access_key"),
        *("secretAccessKey", "accountKey", "account_key", "api_key", "x-api-key", "sas_token", "accessToken"),
        *("aws_session_token", "storage.options.secret"),
    ]
)


@given(
    name=NAMES,
    secret=SECRETS,
    form=st.sampled_from(
        [
            "{name}={secret}",
            "storage.{name}={secret}, size=64",
            "https://host/x?{name}={secret}&size=64",
            "{name}='{secret}'",
            'connect({name}="{secret}", size=64)',
            "{name} = '{secret}'",
            "{{'user': 'me', '{name}': '{secret}', 'size': 64}}",
            '{{"{name}": "{secret}"}}',
            '{{\\"{name}\\": \\"{secret}\\"}}',
            "Authorization: Bearer {secret}",
            "{{'Authorization': 'token {secret}'}}",
            "https://me:12345/{secret}@host/x",
            "https://me:{secret}@host/x",
        ]
    ),
)
def test_no_secret_survives_in_any_form(name: str, secret: str, form: str) -> None:
    text = form.format(name=name, secret=secret)
    masked = mask_secrets(f"Before {text} after")
    assert "hush" not in masked
    assert masked.startswith("Before ")
    assert masked.endswith(" after")
    assert mask_secrets(masked) == masked
    assert "hush" not in mask_secrets(shlex.join(["kedro", "run", "--params", text]))
    assert "hush" not in mask_secrets(json.dumps({"message": text}))


WORDS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)


@given(
    word=WORDS,
    other=WORDS,
    form=st.sampled_from(
        [
            "keys={word}",
            "token_count: {word}, {other}",
            "the secret of {word} and the password for {other}",
            "/home/{word}@{other}/faces",
            "{word}@{other}.example",
            "{word}@{other}:faces.git",
            "ssh://{word}@{other}/faces",
            "s3://{word}/{other}@2x.png",
            "http://{word}.example:5000/{other}@champion",
            "{word}.{other}: value",
            "{{'key': '{word}', 'keys': '{other}'}}",
            "train.{word}=5, source.path=/data?{word}={other}",
            "Error: [{word}] {other}, see {word}.py:12",
        ]
    ),
)
def test_no_other_text_changes(word: str, other: str, form: str) -> None:
    assume(not re.search("password|passwd|pwd|secret|token|key|sig|auth|credential|akia|ghp", word + other))
    text = form.format(word=word, other=other)
    assert mask_secrets(text) == text


@given(st.text() | st.text("""'"\\ =:,{}*ab\n""").map("x password='a{}".format))
def test_masking_twice_is_masking_once(text: str) -> None:
    once = mask_secrets(text)
    assert mask_secrets(once) == once


def test_long_texts_take_linear_time() -> None:
    """With patterns of unlimited length this did not end within ten minutes."""
    for part in (
        "a",
        "://",
        "?a",
        "token",
        "secret=",
        "://a:",
        "key=&",
        "secret='",
        "secret: \\",
        "\n ",
        "://a:1/@",
        "{ ",
    ):
        mask_secrets(part * 20_000)


def test_values_of_documents_are_masked_at_any_depth() -> None:
    values = {"a": ["https://me:hush@host", {"b": "https://me:hush@host"}], "c": 1, "d": None}
    assert mask_values(values) == {"a": ["https://***@host", {"b": "https://***@host"}], "c": 1, "d": None}


def test_values_with_the_name_of_a_secret_are_masked() -> None:
    values = {"password": "hush", "a": {"api_key": "hush", "token": None}, "key": "b", "secret": ""}
    assert mask_values(values) == {"password": "***", "a": {"api_key": "***", "token": None}, "key": "b", "secret": ""}


@pytest.fixture
def masked_logs() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    try:
        mask_logs()
        mask_logs()
        yield
    finally:
        logging.setLogRecordFactory(before)


@pytest.mark.usefixtures("masked_logs")
def test_records_of_the_log_are_masked_whoever_logs(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("another.package").warning("no answer from %s (%d)", "https://me:hush@host", 5)
    logging.getLogger("another.package").warning("plain %s", "text")
    assert caplog.messages == ["no answer from https://***@host (5)", "plain text"]
    assert caplog.records[1].args == ("text",)


URL = "https://me:hush@host/x"  # tracebacks quote lines, so that no line below may have the secret


def fail_plainly() -> None:
    raise ValueError(f"no answer from {URL}")


def fail_with_cause() -> None:
    try:
        fail_plainly()
    except ValueError as error:
        raise RuntimeError("plain") from error


def fail_while_handling() -> None:
    try:
        fail_plainly()
    except ValueError:
        raise KeyError("plain")  # noqa: B904


def fail_as_the_system() -> None:
    raise OSError(5, "no answer", URL)  # its text is not among its arguments


def fail_with_note() -> None:
    error = LookupError("plain")
    error.add_note(f"from {URL}")
    raise error


def fail_together() -> None:
    raise ExceptionGroup("all", [ValueError("plain"), OSError(5, "no answer", URL)])


FAILURES = [fail_plainly, fail_with_cause, fail_while_handling, fail_as_the_system, fail_with_note, fail_together]


def in_a_stream(stream: io.StringIO) -> logging.Handler:
    return logging.StreamHandler(stream)


def with_rich(stream: io.StringIO) -> logging.Handler:
    return RichHandler(console=Console(file=stream, width=200), rich_tracebacks=True)


@pytest.mark.usefixtures("masked_logs")
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("handler", [in_a_stream, with_rich])
def test_tracebacks_in_the_log_are_masked(
    handler: Callable[[io.StringIO], logging.Handler], failure: Callable[[], None]
) -> None:
    stream = io.StringIO()
    log = logging.Logger("another.package")
    log.addHandler(handler(stream))
    try:
        failure()
    except Exception as error:
        before = str(error)
        log.exception("it failed")
        name, after = type(error).__name__, str(error)
    assert after == before  # who handles the error may need what it says
    assert "https://***@host/x" in stream.getvalue()
    assert "hush" not in stream.getvalue()
    assert failure.__name__ in stream.getvalue()
    assert name in stream.getvalue()


@pytest.mark.usefixtures("masked_logs")
def test_records_that_are_sent_on_are_masked() -> None:
    """A queue's handler makes text of the error and the stack before another process prints them."""
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    log = logging.Logger("another.package")
    log.addHandler(logging.handlers.QueueHandler(records))
    try:
        fail_as_the_system()
    except OSError:
        log.warning("it failed", exc_info=True, stack_info=True)  # password='hush'
    sent = records.get()
    assert "hush" not in f"{sent.msg}{sent.exc_text}{sent.stack_info}"
    assert "https://***@host/x" in sent.msg
    assert "password='***'" in sent.msg


def test_an_error_without_a_secret_is_itself() -> None:
    error = ValueError("plain")
    error.__cause__ = OSError(2, "missing", "file")
    assert mask_error(error) is error


def test_a_masked_error_reads_as_it_did() -> None:
    for failure in FAILURES:
        with pytest.raises(Exception) as info:  # noqa: PT011
            failure()
        before, after = ("".join(traceback.format_exception(one)) for one in (info.value, mask_error(info.value)))
        assert after == before.replace("me:hush@", "***@")


def test_errors_that_came_from_each_other_in_a_circle_are_masked() -> None:
    first, second = ValueError(URL), ValueError("plain")
    first.__context__, second.__context__ = second, first
    masked = mask_error(second)
    assert masked.__context__ is not None
    assert masked.__context__.__context__ is masked
    assert str(masked.__context__) == "https://***@host/x"
