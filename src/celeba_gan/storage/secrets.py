"""Secrets among the options of a file system."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from celeba_gan.foundation.safety.secrets import mask_secrets

_WORDS: Final = r"password|passwd|pwd|token|secret|key|signature|sig|credential|credentials"
_NAME: Final = re.compile(rf"(?:^|[_.-])(?:{_WORDS}|username|user|account_name)$|(?:key|secret|token)$", re.IGNORECASE)
_SHORTEST: Final = 4  # a shorter value would be replaced inside of ordinary words


def mask_options(text: str, options: Mapping[str, Any]) -> str:
    """As `mask_secrets`, and with `***` for the secrets among the options of a file system wherever they stand."""
    for secret in sorted(_secrets(options), key=len, reverse=True):
        text = text.replace(secret, "***")
    return mask_secrets(text)


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and len(value) >= _SHORTEST and _NAME.search(name):
            yield value
