"""What nobody but the user may see: passwords, keys and tokens, as they stand in addresses, options and headers."""

import logging
import re
from collections.abc import Callable
from typing import Any, Final

_KEYS: Final = r"(?:api|account|access|private|secret|storage)[_-]?key(?:[_-]?id)?"
_NAMES: Final = rf"(?:password|passwd|passphrase|pwd|secret(?:[_-]id)?|{_KEYS})"  # how names of options end
_TOKENS: Final = rf"(?:{_NAMES}|token)"  # in prose there are tokens of texts and of networks too
_QUERY: Final = rf"(?:{_TOKENS}|key|keyid|signature|sig|credentials?|auth)"
_STORES: Final = r"(?:postgres|mysql|mariadb|mssql|oracle|redis|mongodb)"
_USER: Final = r"[^\s/@:\[]{0,500}"
_QUOTE: Final = r"""(?:'"'"'|\\{0,4}["'])"""  # also of JSON inside of JSON, and inside of a quoted word of a shell
_QUOTED: Final = rf"(?P<quote>{_QUOTE})(?:(?!(?P=quote))(?:\\.|[^\\\n]))+(?:(?P=quote))?"  # or cut off
_UNSET: Final = r"(?!(?:none|null|true|false)(?:[\s,;&'\"()\[\]{}]|$))"
_START: Final = r"(?:^[ \t-]*|[{,] ?)"
_WORD: Final = r"[^\s,;'\"()\[\]{}]+"
_RANDOM: Final = r"(?=[\w.~+/-]{0,500}(?:\d|=|[a-z][A-Z]))[\w.~+/=-]{8,}"  # and no word: "Basic authentication"
_SHAPES: Final = (
    r"\b(?:gh[a-z]_[A-Za-z0-9]{12,}|github_pat_\w{12,}|glpat-[\w-]{12,}|hf_[A-Za-z0-9]{12,}|(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|xox[a-z]-[\w-]{12,}|AIza[\w-]{30,}|eyJ[\w-]{8,500}\.eyJ[\w-]{8,}(?:\.[\w-]*)?)"
)
_PATTERNS: Final = tuple(  # all of limited length, or of what is read once, so that they take linear time
    (re.compile(pattern), instead)
    for pattern, instead in {
        r"(?<!\bssh)(?<!\bsftp)://[^\s/'\"]{0,500}@": "://***@",  # the user of ssh://git@host is no secret
        rf"://{_USER}:[^\s/'\"]{{0,500}}@": "://***@",
        # a password with a slash; in http://host:5000/a@b there is none
        rf"://{_USER}:(?!\d{{1,5}}/)[^\s@'\"]{{0,500}}@": "://***@",
        r"://(?!localhost:)[^\s/@:.\[]{1,500}:\d{1,5}/[^\s@'\"]{0,500}@(?=[\w.-]{1,500}[:/])": "://***@",
        rf"(?i)(\b{_STORES}[^\s:/]{{0,50}}://)[^\s@]{{0,500}}@": r"\1***@",  # whose passwords SQLAlchemy reads so
        rf"(\b(?:Bearer|Basic) ){_RANDOM}": r"\1***",
        r"(?i)(\bauthorization[\"']?\s?[:=]\s?[\"']?(?:basic|bearer|token) )[^\s'\",]+": r"\1***",
        r"(\b(?:Credential|Signature)=)[\w/+%-]{16,}=*": r"\1***",
        _SHAPES: "***",
        # password='x', "secret": "x", api_key = b'x'
        rf"(?i)((?:{_TOKENS}|authorization){_QUOTE}?\s?[:=]\s?[bru]?){_QUOTED}": r"\1\g<quote>***\g<quote>",
        rf"(?i)([?&;][\w.%-]{{0,100}}{_QUERY}=){_UNSET}[^&;\s'\"#]+": r"\1***",
        rf"(?i)({_TOKENS}=|{_NAMES} = ){_UNSET}[^&;\s'\",]+": r"\1***",
        # lines and tables: {password: x, user: y}
        rf"(?im)({_START}{_QUOTE}?[\w.-]{{0,50}}{_NAMES}{_QUOTE}?: ){_UNSET}{_WORD}(?=[ \t]{{0,9}}$|[,}}])": r"\1***",
    }.items()
)
_SECRET_NAME: Final = re.compile(_TOKENS + r"\Z", re.IGNORECASE)
_MOST_LINKS: Final = 100  # of errors that came from each other


def is_secret(name: str) -> bool:
    """Whether a name, such as that of an option, says that its value is a secret."""
    return _SECRET_NAME.search(name) is not None


def mask_secrets(text: str) -> str:
    """The text with `***` for who logs in, in every address of it, and for passwords, keys and tokens."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def mask_values(values: Any) -> Any:
    """JSON values with every text as `mask_secrets` gives it, and `***` for those whose name says that it is secret."""
    if isinstance(values, str):
        return mask_secrets(values)
    if isinstance(values, dict):
        return {
            name: "***" if isinstance(value, str) and value and is_secret(str(name)) else mask_values(value)
            for name, value in values.items()
        }
    if isinstance(values, list):
        return [mask_values(value) for value in values]
    return values


def mask_error(error: BaseException) -> BaseException:
    """An error to print: itself if no message is secret, else a copy of it and of those that it came from.

    A copy has the name, the traceback and the notes of the error, and its text without secrets. It is of a class of its
    own: errors keep their texts in many places, and are still used after they are logged.
    """
    found: list[str] = []
    copy = _copied(error, {}, found)
    return copy if copy is not None and found else error


def _copied(
    error: BaseException | None, made: dict[int, BaseException], found: list[str], links: int = 0
) -> BaseException | None:
    """The copy of an error, or that which was made of it before; adds the texts that had secrets to `found`."""
    if error is None or links > _MOST_LINKS:
        return None
    if id(error) in made:
        return made[id(error)]

    def masked(text: str) -> str:
        if (shown := mask_secrets(text)) != text:
            found.append(shown)
        return shown

    try:
        text = masked(str(error))
    except Exception:  # as Python itself prints it
        text = "<exception str() failed>"
    kind = type(error)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__str__": lambda _: text}
    if isinstance(error, BaseExceptionGroup):
        parts = [_copied(part, made, found, links + 1) for part in error.exceptions]
        group = [part for part in parts if part is not None] or [Exception("...")]
        copy: BaseException = type(kind.__name__, (BaseExceptionGroup,), names)(text, group)
    else:
        copy = type(kind.__name__, (Exception,), names)()
    made[id(error)] = copy
    for note in getattr(error, "__notes__", ()):
        copy.add_note(masked(str(note)))
    copy.__cause__ = _copied(error.__cause__, made, found, links + 1)
    copy.__context__ = _copied(error.__context__, made, found, links + 1)
    copy.__suppress_context__ = error.__suppress_context__
    return copy.with_traceback(error.__traceback__)


def mask_logs() -> None:
    """Masks secrets in every record that is logged from now on, and in its errors, whoever logs."""
    if not isinstance(make := logging.getLogRecordFactory(), _MaskedRecords):
        logging.setLogRecordFactory(_MaskedRecords(make))


class _MaskedRecords:
    """Makes records of the log as the factory before it, and without secrets."""

    def __init__(self, before: Callable[..., logging.LogRecord]) -> None:
        self.before = before

    def __call__(self, *arguments: Any, **named: Any) -> logging.LogRecord:
        record = self.before(*arguments, **named)
        if record.stack_info:
            record.stack_info = mask_secrets(record.stack_info)
        if record.exc_info and record.exc_info[1] is not None:  # handlers print it themselves, or with a formatter
            error = mask_error(record.exc_info[1])
            record.exc_info = (type(error), error, record.exc_info[2])
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # the arguments do not fit; logging says so when it prints the record
            return record
        if (masked := mask_secrets(message)) != message:
            record.msg, record.args = masked, ()
        return record
