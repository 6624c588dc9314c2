"""Secrets among the options of a file system, and in its address."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from celeba_gan.foundation.safety.secrets import is_secret, mask_secrets

_NAME: Final = re.compile(
    r"(?:^|[_.-])(?:sig|credentials?|username|user|account_name)$|(?:key|signature)$", re.IGNORECASE
)
_SHORTEST: Final = 4  # a shorter value would be replaced inside of ordinary words


def mask_options(text: str, options: Mapping[str, Any], url: str = "") -> str:
    """As `mask_secrets`, and with `***` for what is secret of a file system wherever it stands, percent-encoded or not.

    Args:
        text: A message, perhaps of a library.
        options: Of the file system; those whose names say so are secret.
        url: Its address; who logs in is secret.
    """
    for secret in sorted({*_secrets(options), *_in_address(url)}, key=len, reverse=True):
        text = re.sub("".join(map(_in_any_form, secret)), "***", text)
    return mask_secrets(text)


def _secrets(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and len(value) >= _SHORTEST and (is_secret(name) or _NAME.search(name)):
            yield value


def _in_address(url: str) -> Iterator[str]:
    """What is secret in an address, not percent-encoded: user and password together and the password alone; options."""
    address, _, query = url.partition("?")
    before, found, after = mask_secrets(address).partition("://***@")
    if found and address.endswith(after):
        login = address[len(before) + len("://") : len(address) - len(after) - len("@")]
        yield from (unquote(part) for part in (login, login.partition(":")[2]) if len(part) >= _SHORTEST)
    yield from _secrets(dict(parse_qsl(query)))


def _in_any_form(character: str) -> str:
    """A pattern of a character as it is, escaped with backslashes, or percent-encoded once or more often."""
    encoded = "".join(f"%(?:25)*{byte:02x}" for byte in character.encode())
    space = r"|\+" if character == " " else ""
    return rf"(?:\\*{re.escape(character)}|(?i:{encoded}){space})"
