import logging
import pickle
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from breaking_proxy import BreakingProxy
from hypothesis import given
from hypothesis import strategies as st
from s3_server import KEY, SECRET

from celeba_gan.foundation.safety.secrets import mask_secrets
from celeba_gan.storage.errors import StorageError
from celeba_gan.storage.places import Place
from celeba_gan.storage.secrets import mask_options


def test_files_come_back(new_place: Callable[..., Place]) -> None:
    place = new_place()
    assert not place.exists()
    assert place.listing() == {}
    (place / "b.bin").write_bytes(b"0123456789")
    (place / "deep/a.bin").write_bytes(b"")
    assert place.exists()
    assert (place / "b.bin").is_file()
    assert not (place / "deep").is_file()
    assert place.listing() == {"b.bin": 10}
    assert {name: about["size"] for name, about in place.walk().items()} == {"b.bin": 10, "deep/a.bin": 0}
    assert (place / "b.bin").read_bytes() == b"0123456789"
    assert place.read_ranges([("b.bin", 8, 10), ("b.bin", 0, 1), ("deep/a.bin", 0, 0)]) == [b"89", b"0", b""]
    assert (place / "b.bin").read_ranges([("", 2, 4)]) == [b"23"]
    assert pickle.loads(pickle.dumps(place / "b.bin")).read_bytes() == b"0123456789"
    (place / "b.bin").unlink()
    (place / "b.bin").unlink()
    assert not (place / "b.bin").exists()
    for read in ((place / "b.bin").read_bytes, (place / "b.bin").size):
        with pytest.raises(FileNotFoundError, match=r"packed/b\.bin does not exist"):
            read()


def test_what_another_process_wrote_is_seen(s3: str, s3_options: dict[str, Any]) -> None:
    place = Place(s3, s3_options)
    assert place.listing() == {}
    other = Place(s3, {**s3_options, "use_ssl": False})  # another file system of fsspec, with a memory of its own
    (other / "a").write_bytes(b"1")
    assert place.listing() == {"a": 1}
    (other / "a").write_bytes(b"22")
    assert (place / "a").size() == 2


@pytest.mark.slow
def test_a_broken_connection_is_tried_again_for_reads_and_writes(
    s3: str, s3_options: dict[str, Any], proxy: BreakingProxy, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(s3, {**s3_options, "endpoint_url": proxy.url})
    data = bytes(range(256)) * 4000
    proxy.cuts = [0] * 12
    with caplog.at_level(logging.WARNING):
        (place / "a").write_bytes(data)
    assert proxy.broken == 12
    assert "a cannot be written" in caplog.text
    proxy.cuts = [500_000] * 3
    assert (place / "a").read_bytes() == data
    assert proxy.broken == 15


def test_a_connection_that_stays_broken_is_one_error(s3: str, s3_options: dict[str, Any], proxy: BreakingProxy) -> None:
    place = Place(s3, {**s3_options, "endpoint_url": proxy.url}, patience=0.0)
    proxy.down = True
    with pytest.raises(StorageError, match=r"packed cannot be listed: .*AWS_ENDPOINT_URL; the same command resumes"):
        place.listing()


@pytest.mark.parametrize(
    ("url", "changed", "message"),
    [
        ("s3://no-such-bucket/x", {}, r"a cannot be written: there is no such bucket or file .* Check the name"),
        ("s3://Bad_/x", {"endpoint_url": "nonsense"}, r"s3://Bad_/x/a cannot be written: ValueError: .*nonsense"),
        ("gs://bucket/x", {}, r"gs://bucket/x/a needs the extra gcs, which is not installed: pip install 'celeba-gan"),
        ("sftp://host/x", {}, r"needs a package that is not installed: .*paramiko"),
        ("what://bucket/x", {}, r"what://bucket/x/a cannot be used: ValueError: Protocol not known: what"),
    ],
)
def test_what_cannot_work_is_one_error(
    s3_options: dict[str, Any], url: str, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(StorageError, match=message):
        (Place(url, {**s3_options, **changed}) / "a").write_bytes(b"")


def test_without_credentials_it_says_where_they_belong(
    s3: str, s3_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    place = Place(s3, {"endpoint_url": s3_options["endpoint_url"], "skip_instance_cache": True})
    with pytest.raises(StorageError, match=r"there are no credentials .*AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        place.listing()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert Place(s3, {"endpoint_url": s3_options["endpoint_url"], "skip_instance_cache": True}).listing() == {}


@pytest.mark.slow
def test_no_secret_is_shown(s3_options: dict[str, Any], proxy: BreakingProxy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    proxy.down = True
    endpoint = proxy.url.replace("://", "://admin:hunter22@")
    place = Place(
        "s3://bucket/faces", {**s3_options, "endpoint_url": endpoint, "token": "topsecrettoken"}, patience=4.0
    )
    with pytest.raises(StorageError) as caught:
        place.listing()
    with pytest.raises(StorageError, match=r"s3://\*\*\*@bucket/faces has credentials in its address") as refused:
        Place(f"s3://{KEY}:{SECRET}@bucket/faces")
    ftp = Place(f"ftp://me:{SECRET}@127.0.0.1:1/faces?token=opensesame", patience=0.0)
    with pytest.raises(StorageError) as broken:
        ftp.listing()
    shown = [caplog.text, str(caught.value), str(refused.value), str(broken.value), repr(place), repr(ftp), str(ftp)]
    assert "cannot be listed" in shown[0]
    for secret in (KEY, SECRET, "hunter22", "topsecrettoken", "opensesame"):
        assert not [text for text in shown if secret in text]
    assert caught.value.__cause__ is None  # whose message could show them
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://b/x?key=AKIA&secret=abc&versionId=7", "s3://b/x?key=***&secret=***&versionId=7"),
        ("https://h/x?X-Amz-Credential=a%2Fb&X-Amz-Signature=c1&y=2", None),
        ("https://h/x?aws_secret_access_key=abc' is wrong", "https://h/x?aws_secret_access_key=***' is wrong"),
        ("abfs://c@account/x?sig=abc", "abfs://***@account/x?sig=***"),
        ("a --params source.path=sftp://u:p@h/x,train.kimg=1", "a --params source.path=sftp://***@h/x,train.kimg=1"),
    ],
)
def test_addresses_are_masked(text: str, shown: str | None) -> None:
    assert mask_secrets(text) == (shown or "https://h/x?X-Amz-Credential=***&X-Amz-Signature=***&y=2")


def test_options_are_masked_where_they_are_secret() -> None:
    options = {"key": "AKIA123", "client_kwargs": {"aws_secret_access_key": "s3cr3t/+"}, "region": "eu-north-1"}
    assert mask_options("AKIA123 s3cr3t/+ eu-north-1", options) == "*** *** eu-north-1"


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), max_size=20)
HIDDEN = TEXT.map("hush{}hush".format)
FORMS = [
    str,
    quote,
    partial(quote, safe=""),
    quote_plus,
    lambda text: quote(quote(text)),
    lambda text: re.sub("%..", lambda code: code[0].lower(), quote(text)),
]


@given(secret=HIDDEN, form=st.sampled_from(FORMS))
def test_no_form_of_an_option_or_of_an_address_shows_a_secret(secret: str, form: Callable[[str], str]) -> None:
    text = f"HTTP 403 at /a?x={form(secret)} (signed)"
    encoded = quote(secret, safe="")
    for options, url in (
        ({"client_kwargs": {"password": secret}}, "s3://bucket"),
        ({}, f"https://me:{encoded}@host/x"),
        ({}, f"https://host/x?token={encoded}"),
    ):
        place = Place(url, options)
        assert place._masked(text) == "HTTP 403 at /a?x=*** (signed)"
        assert "hush" not in str(place)


@pytest.mark.parametrize("url", ["http://host:5000/faces@2x", "sftp://root@host/faces", "s3://bucket/faces@2x?key=a"])
def test_what_is_no_secret_of_an_address_stays(url: str) -> None:
    text = "host:5000/faces and /root/faces, bucket/faces: 5000 faces"
    assert mask_options(text, {"region": "faces", "endpoint": "bucket"}, url) == text
