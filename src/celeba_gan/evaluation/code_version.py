"""Which code measured: numbers of two versions may differ."""

import functools
import hashlib
from pathlib import Path

from celeba_gan.foundation import __version__


@functools.cache
def code_version() -> str:
    """The version of the package, and after a `+` sixteen hexadecimal digits of this package's source."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return f"{__version__}+{digest.hexdigest()[:16]}"
