"""What nobody but the user may see: passwords, keys and tokens, as they stand in addresses and options."""

import logging
import re
from collections.abc import Callable
from typing import Any, Final

_WORDS: Final = r"password|passwd|pwd|token|secret|key|keyid|signature|sig|credentials?|auth"
_ALONE: Final = r"password|passwd|pwd|\w{0,50}secret\w{0,50}|\w{0,50}token"
_STORES: Final = r"postgres|mysql|mariadb|mssql|oracle|redis|mongodb"
_PATTERNS: Final = (  # all of limited length, so that they take linear time
    (re.compile(r"://[^\s/'\"]{0,500}@"), "://***@"),
    # SQLAlchemy and others read a password with a slash; in http://host:5000/a@b there is none
    (re.compile(rf"(\b(?:{_STORES})[^\s:/]{{0,50}}://)[^\s@]{{0,500}}@", re.IGNORECASE), r"\1***@"),
    (re.compile(r"://[^\s/@:]{0,500}:(?!\d+/)[^\s@'\"]{0,500}@"), "://***@"),
    (re.compile(rf"([?&;][\w.%-]{{0,100}}(?:{_WORDS})=)[^&;\s'\"#]*", re.IGNORECASE), r"\1***"),
    (re.compile(rf"(\b(?:{_ALONE})=)(?!\*\*\*)[^&;\s'\",]+", re.IGNORECASE), r"\1***"),
    (re.compile(r"(\b(?:Bearer|Basic) )[\w.~+/=-]{8,}"), r"\1***"),
    (re.compile(r"\bhf_\w{8,}"), "***"),
)


def mask_secrets(text: str) -> str:
    """The text with `***` for who logs in, in every address of it, and for passwords, keys and tokens in options."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def mask_values(values: Any) -> Any:
    """JSON values with every text as `mask_secrets` gives it."""
    if isinstance(values, str):
        return mask_secrets(values)
    if isinstance(values, dict):
        return {name: mask_values(value) for name, value in values.items()}
    if isinstance(values, list):
        return [mask_values(value) for value in values]
    return values


def mask_logs() -> None:
    """Masks secrets in every record that is logged from now on, by this project or by another package."""
    if not isinstance(make := logging.getLogRecordFactory(), _MaskedRecords):
        logging.setLogRecordFactory(_MaskedRecords(make))


class _MaskedRecords:
    """Makes records of the log as the factory before it, and without secrets."""

    def __init__(self, before: Callable[..., logging.LogRecord]) -> None:
        self.before = before

    def __call__(self, *arguments: Any, **named: Any) -> logging.LogRecord:
        record = self.before(*arguments, **named)
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # the arguments do not fit; logging says so when it prints the record
            return record
        if (masked := mask_secrets(message)) != message:
            record.msg, record.args = masked, ()
        return record
