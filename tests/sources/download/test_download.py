import datetime
import hashlib
import json
import logging
import os
import random
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from celeba_gan.sources.download.download import download_celeba
from celeba_gan.sources.download.transfer import RetryPolicy
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.official import OFFICIAL_FILES, OfficialFile

ZIP, ATTRIBUTES, PARTITION = "img_align_celeba.zip", "list_attr_celeba.txt", "list_eval_partition.txt"
CONTENT = {
    ZIP: b"PK\x03\x04" + random.Random(1).randbytes(900_000),
    ATTRIBUTES: b"2\r\n5_o_Clock_Shadow \r\n" + b"000001.jpg -1  1\r\n" * 3000,
    PARTITION: b"000001.jpg 0\r\n" * 3000,
}
FILES = {name: OfficialFile(name, hashlib.md5(data).hexdigest(), f"id-of-{name}") for name, data in CONTENT.items()}
IMAGES = {ZIP: FILES[ZIP]}
HASTE = RetryPolicy(pauses=(0.01, 0.02, 0.03), longest_pause=2.0, timeouts=(5.0, 5.0))

QUOTA_PAGE = (
    b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>"
    b'<p class="uc-error-caption">Sorry, you can&#39;t view or download this file at this time.</p>'
    b'<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p></body></html>'
)


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`, Range and all; the next action of `server.script` for a path comes before that."""

    protocol_version = "HTTP/1.1"
    timeout = 10
    server: "Loopback"

    def do_GET(self):
        path = f"{self.headers['Host']}{self.path}" if isinstance(self.connection, ssl.SSLSocket) else self.path
        self.server.asked.append((path, dict(self.headers)))
        self.close_connection = True
        actions = self.server.script[path]
        (actions.popleft() if actions else Handler.serve)(self, path)

    do_HEAD = do_GET  # noqa: N815

    def do_CONNECT(self):
        """As a proxy: speaks TLS as if it were the host that was asked for."""
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.handle_one_request()

    def serve(self, path):
        data = self.server.files.get(path)
        if data is None:
            return self.reply(404, b"nothing here")
        tag = f'"{hashlib.md5(data).hexdigest()}"'
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not wanted or self.headers.get("If-Range", tag) != tag:
            return self.reply(200, data, {"ETag": tag})
        begin = int(wanted[1])
        if begin >= len(data):
            return self.reply(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        return self.reply(
            206, data[begin:], {"ETag": tag, "Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}
        )

    def reply(self, status, body, headers=None, length=None):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body) if length is None else length)} | (headers or {})).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.write(body)

    def write(self, data):
        try:
            for begin in range(0, len(data), 10_000):
                part = data[begin : begin + 10_000]
                self.wfile.write(part)
                self.server.served[self.path.partition("?")[0]] += len(part)
        except OSError:  # the client was killed, or has seen enough
            self.close_connection = True

    def log_message(self, format, *args):
        pass


class Loopback(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"/celeba/{name}": data for name, data in CONTENT.items()}
        self.script: dict[str, deque[Callable]] = defaultdict(deque)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.served: dict[str, int] = defaultdict(int)
        self.tls: ssl.SSLContext

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/celeba/"

    def first(self, name, *actions):
        self.script[f"/celeba/{name}"].extend(actions)

    def handle_error(self, request, client_address):
        """A client that hangs up is what these tests are about."""

    def requests(self, path):
        return [headers for asked, headers in self.asked if asked.endswith(path)]


@pytest.fixture
def server():
    with Loopback() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


# What a server may do in place of serving.


def break_off(after, then=None, **headers):
    """Announces everything, sends `after` bytes of it, hangs up."""

    def action(handler, path):
        data = handler.server.files[path]
        tag = {"ETag": f'"{hashlib.md5(data).hexdigest()}"'} | headers
        handler.reply(200, data[:after], tag, length=len(data))
        if then:
            then()

    return action


def give(status, body, **headers):
    return lambda handler, path: handler.reply(status, body, {name.replace("_", "-"): v for name, v in headers.items()})


def whole(handler, path):
    """Ignores Range."""
    handler.reply(200, handler.server.files[path])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".download.lock"}


def failure(folder, source, files=IMAGES, policy=HASTE) -> str:
    with pytest.raises(SourceError) as error:
        download_celeba(folder, source, files, policy)
    return str(error.value)


def test_everything_comes_images_first_and_once(tmp_path, server, caplog):
    caplog.set_level(logging.INFO)
    backwards = dict(reversed(FILES.items()))

    assert download_celeba(tmp_path / "new" / "celeba", server.url, backwards, HASTE) == [ZIP, PARTITION, ATTRIBUTES]
    assert contents(tmp_path / "new" / "celeba") == CONTENT
    assert caplog.text.count("non-commercial") == 1
    for name in FILES:
        assert re.search(rf"{re.escape(name)}: \d+\.\d kB in \d+\.\d s from {server.url}", caplog.text)

    caplog.clear()
    asked = len(server.asked)
    assert download_celeba(tmp_path / "new" / "celeba", server.url, FILES, HASTE) == []
    assert len(server.asked) == asked
    assert caplog.text == ""


@pytest.mark.parametrize(
    "source",
    [
        "kaggle",
        "",
        "google-drive",
        "huggingface:celeba",
        "huggingface:a/b/c",
        "file:///etc/",
        "https://",
        "http://h:x/",
    ],
)
def test_another_word_is_refused_with_the_allowed_ones(tmp_path, source):
    message = failure(tmp_path / "celeba", source)

    assert repr(source) in message
    for form in ("google_drive", "huggingface:OWNER/DATASET", "https://host/path/"):
        assert form in message
    assert not (tmp_path / "celeba").exists()


def test_a_broken_transfer_carries_on_where_it_broke(tmp_path, server, caplog):
    server.first(ZIP, break_off(400_000), break_off(0))
    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]

    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}
    first, second, third = server.requests(ZIP)
    begin = int(third["Range"].removeprefix("bytes=").removesuffix("-"))
    assert "Range" not in first
    assert 300_000 < begin <= 400_000
    assert second["Range"] == third["Range"]
    assert second["If-Range"] == third["If-Range"] == f'"{FILES[ZIP].md5}"'
    assert server.served[f"/celeba/{ZIP}"] == 400_000 + len(CONTENT[ZIP]) - begin
    assert len(re.findall(r"in \d+ s \(", caplog.text)) == 2


def test_progress_gives_new_policy(tmp_path, server):
    """More breaks than pauses, each further on than the one before."""

    def a_bit(handler, path):
        data = handler.server.files[path]
        begin = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        part = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}
        handler.reply(206 if begin else 200, data[begin : begin + 140_000], part, length=len(data) - begin)

    server.first(ZIP, *[a_bit] * 6)
    assert download_celeba(tmp_path, server.url, IMAGES, RetryPolicy(pauses=(0.01,), timeouts=(5.0, 5.0))) == [ZIP]
    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}


def test_a_server_that_always_breaks_at_one_place_is_given_up(tmp_path, server):
    """It ignores Range, so that every try begins again: getting as far as before is no progress."""
    server.first(ZIP, *[break_off(400_000)] * 50)
    message = failure(tmp_path, server.url)

    assert len(server.requests(ZIP)) == 4
    assert "(4 tries)" in message
    assert "img_align_celeba.zip from https://mmlab" in message
    assert str(tmp_path) in message
    assert "next run" in message
    assert 300_000 < (tmp_path / f".{ZIP}.partial").stat().st_size <= 400_000

    server.script.clear()
    served = server.served[f"/celeba/{ZIP}"]
    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]
    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}
    assert server.served[f"/celeba/{ZIP}"] - served < 600_000


def test_a_server_without_range_begins_again(tmp_path, server):
    server.first(ZIP, break_off(400_000), whole)
    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]

    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}
    assert "Range" in server.requests(ZIP)[1]
    assert server.served[f"/celeba/{ZIP}"] == 400_000 + len(CONTENT[ZIP])


@pytest.mark.parametrize("honest", [True, False], ids=["If-Range kept", "If-Range ignored"])
def test_a_file_that_changes_between_two_tries_is_not_spliced(tmp_path, server, honest, caplog):
    path = f"/celeba/{ZIP}"
    server.files[path] = b"PK\x03\x04" + bytes(900_000)

    def change():
        server.files[path] = CONTENT[ZIP]

    def rest(handler, path):
        begin = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        body = CONTENT[ZIP][begin:]
        handler.reply(206, body, {"Content-Range": f"bytes {begin}-{begin + len(body) - 1}/*", "ETag": '"another"'})

    server.first(ZIP, break_off(400_000, then=change), *([] if honest else [rest]))
    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]
    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}
    assert "the parts of two" not in caplog.text  # it is noticed before the rest has come, not by the md5


def test_parts_that_do_not_fit_are_fetched_again_whole(tmp_path, server, caplog):
    """No ETag, no date: only the md5 of the whole tells that the half was of another file."""
    half = tmp_path / f".{ZIP}.partial"
    half.write_bytes(b"PK\x03\x04" + bytes(300_000))
    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]

    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}
    assert "the parts of two" in caplog.text


def test_a_half_from_one_source_serves_another(tmp_path, server):
    (tmp_path / f".{ZIP}.partial").write_bytes(CONTENT[ZIP][:700_000])
    (tmp_path / f".{ZIP}.partial.json").write_text(json.dumps({"place": "google_drive", "mark": '"other"'}))
    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]

    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}
    assert "If-Range" not in server.requests(ZIP)[0]
    assert server.served[f"/celeba/{ZIP}"] == len(CONTENT[ZIP]) - 700_000


def test_a_wrong_place_in_the_file_is_noticed(tmp_path, server, caplog):
    (tmp_path / f".{ZIP}.partial").write_bytes(CONTENT[ZIP][:100_000])
    server.first(ZIP, give(206, CONTENT[ZIP][50_000:], Content_Range=f"bytes 50000-{len(CONTENT[ZIP]) - 1}/*"))
    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]
    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}
    assert "the parts of two" not in caplog.text


def test_a_whole_half_only_needs_its_name(tmp_path, server):
    """As after a kill between the last byte and the renaming: the server has nothing more, and says 416."""
    (tmp_path / f".{ZIP}.partial").write_bytes(CONTENT[ZIP])
    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]
    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}
    assert server.served[f"/celeba/{ZIP}"] == 0


@pytest.mark.parametrize("record", [b"", b"[]", b'{"place": 3}', b"\xff\xfe"])
def test_a_damaged_record_beside_a_half_costs_nothing(tmp_path, server, record):
    (tmp_path / f".{ZIP}.partial").write_bytes(CONTENT[ZIP][:700_000])
    (tmp_path / f".{ZIP}.partial.json").write_bytes(record)
    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]
    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}


def test_too_long_an_announcement_does_not_spoil_a_file(tmp_path, server):
    """It looks like a break: at most the last chunk is asked for again."""
    server.first(ZIP, lambda handler, path: handler.reply(200, CONTENT[ZIP], length=len(CONTENT[ZIP]) + 1000))
    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]
    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}
    assert server.served[f"/celeba/{ZIP}"] <= len(CONTENT[ZIP]) + 65_536


def test_too_short_an_announcement_gives_no_file(tmp_path, server):
    server.first(ZIP, lambda handler, path: handler.reply(200, CONTENT[ZIP], length=500_000))
    assert "its md5 is wrong; it is a zip archive of 500,000 bytes" in failure(tmp_path, server.url)
    assert contents(tmp_path) == {}


def test_an_end_that_nobody_announced_may_be_a_break(tmp_path, server):
    server.first(ZIP, lambda handler, path: handler.reply(200, CONTENT[ZIP][:300_000], {"Content-Length": None}))
    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]
    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}
    assert server.served[f"/celeba/{ZIP}"] == len(CONTENT[ZIP])


def test_a_whole_file_without_announcement_is_whole(tmp_path, server):
    server.first(ZIP, lambda handler, path: handler.reply(200, CONTENT[ZIP], {"Content-Length": None}))
    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]
    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}
    assert len(server.requests(ZIP)) == 1


def test_more_than_the_disk_holds_is_refused_before_it_comes(tmp_path, server):
    server.first(ZIP, lambda handler, path: handler.reply(200, CONTENT[ZIP], length=10**18))
    message = failure(tmp_path, server.url)
    assert "missing, and the disk has" in message
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("body", "looks"),
    [
        (QUOTA_PAGE, "is a web page (a download page or a 'quota exceeded' message"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:46fb\nsize 1443490838\n", "is a Git LFS pointer"),
        (b"", "is an empty file"),
    ],
    ids=["quota page", "LFS pointer", "nothing"],
)
@pytest.mark.parametrize("half", [0, 500_000], ids=["at first", "after a half"])
def test_a_stand_in_is_called_what_it_is_and_costs_no_half(tmp_path, server, body, looks, half):
    if half:
        (tmp_path / f".{ZIP}.partial").write_bytes(CONTENT[ZIP][:half])
    server.first(ZIP, give(200, body, Content_Type="text/html"))
    message = failure(tmp_path, server.url)

    assert looks in message
    assert "hand" in message
    assert ("500.0 kB" in message) == bool(half)
    assert contents(tmp_path) == ({f".{ZIP}.partial": CONTENT[ZIP][:half]} if half else {})


def test_garbage_is_refused_and_removed(tmp_path, server):
    server.files[f"/celeba/{ZIP}"] = bytes(range(256)) * 100
    message = failure(tmp_path, server.url)

    assert "its md5 is wrong; it is a binary file of 25,600 bytes" in message
    assert contents(tmp_path) == {}
    assert len(server.requests(ZIP)) == 1


def test_a_busy_server_is_asked_again_when_it_says(tmp_path, server):
    server.first(ZIP, give(503, b"later"), give(429, b"slower", Retry_After="1"), give(500, b"", Retry_After="soon"))
    begin = time.monotonic()
    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]
    assert time.monotonic() - begin >= 1
    assert len(server.requests(ZIP)) == 4


def test_a_server_that_wants_too_long_a_rest_is_left(tmp_path, server):
    server.first(ZIP, give(429, b"", Retry_After="3600"))
    assert re.search(r"429 Too Many Requests.* 3600 s", failure(tmp_path, server.url))
    assert len(server.requests(ZIP)) == 1


@pytest.mark.parametrize("status", [403, 404, 410, 416])
def test_a_refusal_is_not_asked_about_again(tmp_path, server, status):
    server.first(ZIP, give(status, b"<html>no</html>"))
    assert re.search(rf"{re.escape(server.url)}{ZIP} \w+ {status}", failure(tmp_path, server.url))
    assert len(server.requests(ZIP)) == 1
    assert contents(tmp_path) == {}


def test_a_silent_server_is_not_waited_for_for_ever(tmp_path, server):
    server.first(ZIP, *[lambda handler, path: time.sleep(1)] * 2)
    policy = RetryPolicy(pauses=(0.01,), timeouts=(0.2, 0.2))
    assert "in time (2 tries)" in failure(tmp_path, server.url, policy=policy)


def test_a_server_that_is_not_there(tmp_path):
    message = failure(tmp_path, "http://127.0.0.1:9/celeba", policy=RetryPolicy(pauses=(0.01,)))
    assert "127.0.0.1:9 could not be reached" in message


def test_an_annotation_file_that_cannot_be_had_is_a_warning(tmp_path, server, caplog):
    del server.files[f"/celeba/{ATTRIBUTES}"]
    assert download_celeba(tmp_path, server.url, FILES, HASTE) == [ZIP, PARTITION]

    (warning,) = [record.message for record in caplog.records if ATTRIBUTES in record.message]
    assert "404 Not Found" in warning
    assert f"{ATTRIBUTES} from https" in warning
    assert contents(tmp_path) == {ZIP: CONTENT[ZIP], PARTITION: CONTENT[PARTITION]}


def test_files_under_the_names_that_are_others_stay(tmp_path, server, caplog):
    (tmp_path / ATTRIBUTES).write_bytes(b"mine")
    assert download_celeba(tmp_path, server.url, FILES, HASTE) == [ZIP, PARTITION]
    assert f"{tmp_path / ATTRIBUTES} is not the official file but something else of 4 bytes" in caplog.text
    assert (tmp_path / ATTRIBUTES).read_bytes() == b"mine"

    (tmp_path / ZIP).write_bytes(QUOTA_PAGE)
    message = failure(tmp_path, server.url, FILES)
    assert "is not the official file but a web page" in message
    assert "away" in message
    assert (tmp_path / ZIP).read_bytes() == QUOTA_PAGE


def test_what_is_private_in_an_address_is_used_but_not_told(tmp_path, server, caplog):
    caplog.set_level(logging.DEBUG, logger="celeba_gan")
    path = f"/celeba/{ZIP}?sig=hush"
    server.files[path] = CONTENT[ZIP]
    server.script[path].extend([break_off(400_000)] * 9)
    message = failure(tmp_path, f"http://me:hush@127.0.0.1:{server.server_port}/celeba?sig=hush")

    assert server.requests(path)[0]["Authorization"].startswith("Basic ")
    assert f"could not be downloaded from {server.url.removesuffix('/')}: 127.0.0.1" in message
    assert "hush" not in message + caplog.text + (tmp_path / f".{ZIP}.partial.json").read_text()


# Two processes, and processes that die.

PROGRAM = """
import json, sys
from pathlib import Path
from celeba_gan.sources.download.download import download_celeba
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.official import OfficialFile
from celeba_gan.sources.download.transfer import RetryPolicy
folder, source, files = json.loads(sys.argv[1])
files = {name: OfficialFile(*file) for name, file in files.items()}
try:
    fetched = download_celeba(Path(folder), source, files, RetryPolicy(pauses=(0.01, 0.02), timeouts=(5.0, 5.0)))
    print(json.dumps(fetched))
except SourceError as error:
    sys.exit(str(error))
assert "torch" not in sys.modules and "pandas" not in sys.modules
"""


def start(folder, source, files=IMAGES, **environment):
    arguments = json.dumps([str(folder), source, {n: (f.name, f.md5, f.drive_id) for n, f in files.items()}])
    command = [sys.executable, "-c", PROGRAM, arguments]
    return subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_two_processes_at_once_fetch_every_file_once(tmp_path, server):
    both = threading.Event()

    def slowly(handler, path):  # not before the second process has had its chance to ask, too
        both.wait(4)
        handler.serve(path)

    server.first(ZIP, slowly)
    processes = [start(tmp_path, server.url, FILES) for _ in range(2)]
    time.sleep(2)
    both.set()
    outputs = [process.communicate(timeout=20) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], outputs
    assert sorted(json.loads(output) for output, _ in outputs) == [[], [ZIP, ATTRIBUTES, PARTITION]]
    assert contents(tmp_path) == CONTENT
    assert dict(server.served) == {f"/celeba/{name}": len(data) for name, data in CONTENT.items()}


def test_a_killed_process_loses_next_to_nothing(tmp_path, server):
    halfway = threading.Event()

    def stall(handler, path):
        data = handler.server.files[path]
        handler.reply(200, data[:600_000], {"ETag": f'"{FILES[ZIP].md5}"'}, length=len(data))
        halfway.wait(10)

    server.first(ZIP, stall)
    process = start(tmp_path, server.url)
    half = tmp_path / f".{ZIP}.partial"
    deadline = time.monotonic() + 10
    while not (half.exists() and half.stat().st_size > 500_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    halfway.set()
    size = half.stat().st_size
    assert not (tmp_path / ZIP).exists()
    assert 500_000 < size <= 600_000

    assert download_celeba(tmp_path, server.url, IMAGES, HASTE) == [ZIP]
    assert contents(tmp_path) == {ZIP: CONTENT[ZIP]}
    assert server.served[f"/celeba/{ZIP}"] == 600_000 + len(CONTENT[ZIP]) - size
    assert server.requests(ZIP)[1]["If-Range"] == f'"{FILES[ZIP].md5}"'


# Hugging Face: the real library, sent to the loopback server by the variable that mirrors use.


def hub(server, paths):
    listing = [{"type": "file", "path": path, "size": 1, "oid": "0" * 40} for path in paths]
    give_listing = give(200, json.dumps(listing).encode(), Content_Type="application/json")
    server.script["/api/datasets/some/celeba/tree/main?recursive=true&expand=false"].extend([give_listing] * 9)


def run(folder, server, files=IMAGES, source="huggingface:some/celeba"):
    home = folder.parent / "hf_home"
    endpoint = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(home), "HF_TOKEN": "hf_secret"}
    process = start(folder, source, files, **endpoint)
    output, error = process.communicate(timeout=20)
    return process.returncode, output, error


def test_hugging_face_gives_files_from_any_folder_and_resumes(tmp_path, server):
    hub(server, ["README.md", f"Img/{ZIP}", f"copy/of/Img/{ZIP}", f"Anno/{ATTRIBUTES}"])
    for path in (f"Img/{ZIP}", f"Anno/{ATTRIBUTES}"):
        elsewhere = f"http://localhost:{server.server_port}/celeba/{path.rpartition('/')[2]}"
        server.script[f"/datasets/some/celeba/resolve/main/{path}"].extend([give(302, b"", Location=elsewhere)] * 2)
    server.first(ZIP, break_off(400_000))
    code, output, error = run(tmp_path / "celeba", server, {ZIP: FILES[ZIP], ATTRIBUTES: FILES[ATTRIBUTES]})

    assert (code, json.loads(output)) == (0, [ZIP, ATTRIBUTES]), error
    assert contents(tmp_path / "celeba") == {name: CONTENT[name] for name in (ZIP, ATTRIBUTES)}
    assert server.requests(f"resolve/main/Img/{ZIP}")[0]["Authorization"] == "Bearer hf_secret"
    at_the_store = [headers for path, headers in server.asked if path == f"/celeba/{ZIP}"]
    assert not any("Authorization" in headers for headers in at_the_store)  # another host than the Hub's
    assert [("Range" in headers) for headers in at_the_store] == [False, True]


def test_a_dataset_of_tables_is_named_as_such(tmp_path, server):
    hub(server, [".gitattributes", "data/train-00000-of-00003.parquet"])
    code, _, error = run(tmp_path / "celeba", server)

    assert code == 1
    assert "img_align_celeba.zip could not be downloaded from huggingface:some/celeba" in error
    assert "it has 2 files: .gitattributes, data/train-00000-of-00003.parquet" in error


def test_a_dataset_that_is_not_there(tmp_path, server):
    code, _, error = run(tmp_path / "celeba", server)

    assert code == 1
    assert re.search("Hugging Face .* list the dataset", error)
    assert "404" in error
    assert "Traceback" not in error


# Google Drive: its own addresses, answered by the loopback server behind a proxy with a certificate for those hosts.


@pytest.fixture
def drive(server, tmp_path, monkeypatch):
    hosts = ["drive.google.com", "drive.usercontent.google.com"]
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "loopback.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(pem)
    for variable in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "https_proxy", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    return server


def asked_for(name):
    return f"drive.google.com/uc?export=download&id=id-of-{name}"


def on_drive(name):
    return f"drive.usercontent.google.com/download?id=id-of-{name}&export=download&confirm=t&uuid=4-2"


def warning_page(name):
    hidden = {"id": f"id-of-{name}", "export": "download", "confirm": "t", "uuid": "4-2"}
    inputs = "".join(f'<input type="hidden" name="{key}" value="{value}">' for key, value in hidden.items())
    return (
        "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>"
        '<p class="uc-warning-caption">Google Drive can&#39;t scan this file for viruses.</p>'
        '<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
        f'<input type="submit" id="uc-download-link" value="Download anyway"/>{inputs}</form></body></html>'
    ).encode()


def attached(handler, path):
    handler.reply(200, handler.server.files[path], {"Content-Disposition": "attachment"})


def test_google_drives_page_before_a_large_file_is_passed(tmp_path, drive):
    drive.script[asked_for(ZIP)].extend([give(200, warning_page(ZIP), Content_Type="text/html")] * 2)
    drive.files[on_drive(ZIP)] = CONTENT[ZIP]
    drive.script[on_drive(ZIP)].append(attached)  # asked what it is
    drive.script[on_drive(ZIP)].append(break_off(400_000))
    drive.script[on_drive(ZIP)].append(attached)
    drive.files[asked_for(ATTRIBUTES)] = CONTENT[ATTRIBUTES]
    drive.script[asked_for(ATTRIBUTES)].append(attached)
    folder = tmp_path / "celeba"

    assert download_celeba(folder, "google_drive", {n: FILES[n] for n in (ZIP, ATTRIBUTES)}, HASTE) == [ZIP, ATTRIBUTES]
    assert contents(folder) == {name: CONTENT[name] for name in (ZIP, ATTRIBUTES)}
    *_, last = drive.requests(on_drive(ZIP))
    assert int(last["Range"].removeprefix("bytes=").removesuffix("-")) > 300_000


def test_google_drives_quota_is_called_so(tmp_path, drive):
    drive.script[asked_for(ZIP)].append(give(200, QUOTA_PAGE, Content_Type="text/html"))
    message = failure(tmp_path / "celeba", "google_drive")

    assert "quota" in message
    assert "huggingface" in message
    assert contents(tmp_path / "celeba") == {}


def test_a_quota_page_after_the_warning_is_no_file_either(tmp_path, drive):
    drive.script[asked_for(ZIP)].append(give(200, warning_page(ZIP), Content_Type="text/html"))
    drive.files[on_drive(ZIP)] = CONTENT[ZIP]
    drive.script[on_drive(ZIP)].extend([attached, give(200, QUOTA_PAGE, Content_Type="text/html")])

    assert "is a web page" in failure(tmp_path / "celeba", "google_drive")
    assert contents(tmp_path / "celeba") == {}


def test_another_page_of_google_drive_is_quoted(tmp_path, drive):
    page = b'<html><body><p class="uc-error-subcaption">This file is infected with a virus.</p></body></html>'
    drive.script[asked_for(ZIP)].append(give(200, page, Content_Type="text/html"))
    assert "This file is infected with a virus." in failure(tmp_path / "celeba", "google_drive")


def test_a_certificate_that_nobody_vouches_for_is_not_tried_again(tmp_path, drive, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    message = failure(tmp_path / "celeba", "google_drive", policy=RetryPolicy())
    assert "the certificate of drive.google.com is not trusted" in message


def test_the_official_files_are_the_default(tmp_path, server):
    """The synthetic ones here are not them, and are told apart by their md5."""
    with pytest.raises(SourceError, match="its md5 is wrong"):
        download_celeba(tmp_path, server.url, policy=HASTE)
    assert set(OFFICIAL_FILES) >= FILES.keys()
