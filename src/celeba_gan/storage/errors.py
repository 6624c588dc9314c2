"""The error of a place that cannot be used, and which failures pass by themselves."""

from __future__ import annotations

import errno
from typing import Final

from celeba_gan.foundation.wording import in_time

EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""The extra of this package that a protocol needs."""

_LASTING: Final = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
_LASTING_CODES: Final = (errno.EINVAL, errno.ENOSPC, errno.ENAMETOOLONG, errno.EMSGSIZE)
_CLIENTS: Final = ("aiohttp", "aiobotocore", "botocore", "fsspec", "gcsfs", "google", "requests", "s3fs", "urllib3")
_LASTING_NAMES: Final = frozenset(
    ("NoCredentialsError", "PartialCredentialsError", "ParamValidationError", "InvalidURL", "NoRegionError")
)


class StorageError(RuntimeError):
    """A place cannot be reached, read or written; the message says which, why and what to do. It shows no secret.

    It is no OSError: an OSError of one photograph leaves that photograph out, and this one ends the run.
    """


def passes(error: BaseException) -> bool:
    """Whether the same request may succeed later: the connection broke, or the server is busy."""
    if isinstance(error, _LASTING) or type(error).__name__ in _LASTING_NAMES:
        return False
    if isinstance(error, OSError):
        return error.errno not in _LASTING_CODES
    is_client = type(error).__module__.partition(".")[0] in _CLIENTS
    return is_client or isinstance(error, EOFError)


def reason(error: BaseException, waited: float) -> str:
    """Why a place cannot be used and what to do, for the end of a sentence; it may hold secrets.

    `waited` are the seconds since the first of several attempts.
    """
    text = str(error).strip().rstrip(".") or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return f"there is no such bucket or file ({text}). Check the name"
    if isinstance(error, PermissionError):
        return f"access is refused ({text}). Check the credentials, and what they are allowed to do"
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"):
        return (
            f"there are no credentials ({text}). Give them in the environment, such as AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or as credentials of the catalog entry"
        )
    if passes(error):
        return (
            f"{text} (tried for {in_time(waited)}). Check the network and the address of the server, such as "
            "AWS_ENDPOINT_URL; the same command resumes"
        )
    return f"{type(error).__name__}: {text}"
