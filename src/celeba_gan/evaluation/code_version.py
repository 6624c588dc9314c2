"""Which code measured: numbers of two versions may differ."""

import functools
import hashlib
import importlib.metadata
from pathlib import Path


@functools.cache
def code_version() -> str:
    """The version of the package, and after a `+` sixteen hexadecimal digits of this package's source."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    try:
        version = importlib.metadata.version("celeba-gan")
    except importlib.metadata.PackageNotFoundError:  # run from its source, as on a machine with torch alone
        version = "0"
    return f"{version}+{digest.hexdigest()[:16]}"
