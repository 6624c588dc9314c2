import logging
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from breaking_proxy import BreakingProxy, breaking_proxy
from moto.server import ThreadedMotoServer
from s3_server import KEY, SECRET

from celeba_gan.storage.places import Place


@pytest.fixture(scope="session")
def server() -> Iterator[int]:
    """A real S3 server on loopback; its port."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def s3_options(server: int) -> dict[str, Any]:
    return {"key": KEY, "secret": SECRET, "endpoint_url": f"http://127.0.0.1:{server}"}


@pytest.fixture
def s3(s3_options: dict[str, Any]) -> str:
    """The address of an empty folder in a new bucket."""
    import s3fs

    bucket = f"faces-{uuid.uuid4().hex[:12]}"
    s3fs.S3FileSystem(**s3_options).mkdir(bucket)
    return f"s3://{bucket}/packed"


@pytest.fixture
def proxy(server: int) -> Iterator[BreakingProxy]:
    with breaking_proxy(server) as proxy:
        yield proxy


@pytest.fixture
def memory() -> str:
    return f"memory://{uuid.uuid4().hex}/packed"


@pytest.fixture(params=["memory", "s3"])
def new_place(request: pytest.FixtureRequest) -> Callable[..., Place]:
    """Makes the place of an empty folder in memory, and on S3."""
    url = request.getfixturevalue(request.param)
    options = request.getfixturevalue("s3_options") if request.param == "s3" else {}

    def make(patience: float = 5.0) -> Place:
        return Place(url, options, patience)

    return make
