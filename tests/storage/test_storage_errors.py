import errno
import http.client
import pickle

import pytest
from aiohttp import ClientPayloadError
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ParamValidationError, ReadTimeoutError
from fsspec.exceptions import FSTimeoutError

from celeba_gan.storage.errors import StorageError, passes, reason


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        TimeoutError(),
        OSError(errno.EREMOTEIO, "InternalError"),
        OSError(errno.EBUSY, "SlowDown"),
        EOFError("3 of 5 bytes arrived"),
        FSTimeoutError(),
        ClientPayloadError(),
        EndpointConnectionError(endpoint_url="http://x"),
        ReadTimeoutError(endpoint_url="http://x"),
    ],
)
def test_a_busy_server_and_a_broken_connection_pass(error: Exception) -> None:
    assert passes(error)
    assert "the same command resumes" in reason(error, 61.0)
    assert "1 min 1 s" in reason(error, 61.0)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (FileNotFoundError("The specified bucket does not exist"), "there is no such bucket or file"),
        (PermissionError("Access Denied"), "Check the credentials, and what they are allowed to do"),
        (PermissionError("The AWS Access Key Id you provided does not exist"), "access is refused"),
        (NoCredentialsError(), "Give them in the environment, such as AWS_ACCESS_KEY_ID"),
        (ParamValidationError(report="Invalid bucket name"), "Invalid bucket name"),
        (OSError(errno.EINVAL, "The specified bucket is not valid."), "The specified bucket is not valid"),
        (ValueError("Invalid endpoint: x"), "ValueError: Invalid endpoint: x"),
        (http.client.InvalidURL("x"), "InvalidURL: x"),
        (ZeroDivisionError(), "ZeroDivisionError"),
    ],
)
def test_what_is_wrong_stays_wrong(error: Exception, advice: str) -> None:
    assert not passes(error)
    assert advice in reason(error, 0.0)
    assert "resumes" not in reason(error, 0.0)


def test_the_error_comes_back_from_a_worker() -> None:
    again = pickle.loads(pickle.dumps(StorageError("s3://bucket cannot be read: why")))
    assert isinstance(again, StorageError)
    assert str(again) == "s3://bucket cannot be read: why"
    assert not isinstance(again, OSError)  # which would leave out the photograph that is read
