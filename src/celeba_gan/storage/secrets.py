"""What must not be shown: passwords, keys and tokens in addresses and options."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_WORDS: Final = r"password|passwd|pwd|token|secret|key|signature|sig|credential|credentials"
_OPTION: Final = re.compile(rf"([?&](?:[\w.-]*[_.-])?(?:{_WORDS})=)[^&\s'\"]*", re.IGNORECASE)
_NAME: Final = re.compile(rf"(?:^|[_.-])(?:{_WORDS}|username|user|account_name)$|(?:key|secret|token)$", re.IGNORECASE)
_SHORTEST: Final = 4  # a shorter value would be replaced inside of ordinary words


def mask_secrets(text: str) -> str:
    """The text with `***` for who logs in, in every URI of it, and for passwords, keys and tokens in its options."""
    return _OPTION.sub(r"\1***", re.sub(r"://[^/\s]*@", "://***@", text))


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
