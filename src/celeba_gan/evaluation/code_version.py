"""Which code measured: numbers of two versions may differ."""

import functools
from pathlib import Path

from celeba_gan.foundation import __version__
from celeba_gan.foundation.files import source_digest


@functools.cache
def code_version() -> str:
    """The version of the package, and after a `+` sixteen hexadecimal digits of this package's source."""
    return f"{__version__}+{source_digest(Path(__file__).parent)}"
