"""Tables in text files of any program: encoding, line ends, count line, separator."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from celeba_gan.images.appearance import appearance
from celeba_gan.sources.errors import SourceError

NAME_COLUMNS: Final = ("image_id", "file_name", "filename", "file", "path", "image_name", "image", "name")
"""Headers of the column of image names, in lower case; the most specific first."""

BLANKS: Final = " "
"""As a separator: any run of blanks and tabs."""

AROUND_CELLS: Final = ' \t;,"'
"""Characters between the contents of two cells."""

_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_COUNT_LINE = re.compile(r"[ \t]*(?:[0-9]{1,9}|\"[0-9]{1,9}\")[ \t;,]*")
_UNNAMED = re.compile(r"(?:unnamed: [0-9]{1,9})?", re.IGNORECASE)
_SAMPLE: Final = 50


@dataclass(frozen=True)
class TextFile:
    """The bytes of a text file, and its name for messages."""

    where: str  # such as an absolute path, or "list_attr_celeba.csv in /data/archive.zip"
    data: bytes

    @classmethod
    def of(cls, source: Path | str | TextFile, name: str) -> TextFile:
        """A table's text from a path, from the text itself (`name` is for messages about it), or as it is.

        Raises:
            SourceError: The file cannot be read; it is a folder, for example.
        """
        if isinstance(source, TextFile):
            return source
        if isinstance(source, str):
            return cls(f"The text given for {name}", source.encode(errors="surrogatepass"))
        where = str(source.absolute())
        try:
            return cls(where, source.read_bytes())
        except OSError as error:
            raise SourceError(
                f"{where} cannot be read ({error.strerror or error}). Replace it by a text file, or remove it to go on "
                "without it."
            ) from error


def decode(file: TextFile, should_be: str, instead: str) -> str:
    r"""The text of a file, with `\n` as line end, without a truncated last character.

    It may be UTF-8 with or without byte order mark, or UTF-16 with one (as Excel and Notepad save "Unicode text").

    Raises:
        SourceError: It is empty, or not a text file. The message says what it `should_be`, and what to do `instead`.
    """
    encoding = next((name for mark, name in _MARKS if file.data.startswith(mark)), "utf-8")
    looks = appearance(file.data[:4096])
    text = ""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(file.data)
    except UnicodeDecodeError as error:
        if looks == "something else":
            looks = f"text that is not {encoding.upper()} (byte {error.start:,}: damaged, or saved in another encoding)"
    if "\0" in text and looks == "something else":
        looks = f"a binary or damaged file (a NUL at character {text.index(chr(0)):,})"
    if looks != "something else":
        raise SourceError(f"{file.where} should be {should_be}, a plain text file, but looks like {looks}. {instead}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_excel_hint(line: str) -> bool:
    """Whether a file's first line only tells Excel the separator."""
    return re.fullmatch(r"sep=.?", line.strip(" ")) is not None


def _separator_of(lines: list[str]) -> str:
    r"""The one of `\t`, `;` and `,` in most of the first lines; else `BLANKS`."""
    sample = lines[:_SAMPLE]
    for separator in "\t;,":
        held = [line for line in sample if separator in line]
        if 2 * len(held) > len(sample):
            aligned = separator == "\t" and any(" " in cell.strip(" ") for line in held for cell in line.split("\t"))
            return BLANKS if aligned else separator
    return BLANKS


def is_unnamed(column: str) -> bool:
    """Whether a column has no name, or the one that pandas invents, as columns of row numbers have."""
    return _UNNAMED.fullmatch(column) is not None


@dataclass(frozen=True)
class TextTable:
    """The lines of a table whose cells contain neither blanks nor separators."""

    where: str  # for messages
    lines: list[str]  # those that are not blank, without the count line
    numbers: list[int]  # of these lines in the file, from 1
    separator: str
    quoted: bool  # whether cells may be
    count: int | None  # the number in the count line, if there is one
    open_end: bool  # whether the last line has no line end: the file may be truncated

    @classmethod
    def of(cls, where: str, text: str) -> TextTable:
        """Parses a table's text."""
        numbered = enumerate(text.split("\n"), start=1)
        used = [(number, line) for number, line in numbered if line.strip(AROUND_CELLS).strip()]
        if used and is_excel_hint(used[0][1]):
            del used[0]
        counts = bool(used) and _COUNT_LINE.fullmatch(used[0][1]) is not None
        count = int(used.pop(0)[1].strip(AROUND_CELLS)) if counts else None
        numbers, lines = [number for number, _ in used], [line for _, line in used]
        return cls(where, lines, numbers, _separator_of(lines), '"' in text, count, open_end=not text.endswith("\n"))

    def cells(self, line: str) -> list[str]:
        """The cells of one line, without the empty ones that Excel adds at its end."""
        split = line.split() if self.separator == BLANKS else [cell.strip(" ") for cell in line.split(self.separator)]
        cells = [cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell for cell in split]
        while cells and not cells[-1]:
            cells.pop()
        return cells

    def row_pattern(self, skipped: int, values: int, value: str) -> re.Pattern[str]:
        """A pattern of a whole row: its first group is the image's name, its second all values with their separators.

        `skipped` and `values` count the cells before and after the name; `value` is the pattern of one value.
        """
        # No two neighbouring parts can match the same blanks: a damaged line of a megabyte takes linear time.
        if self.separator == BLANKS:
            cell = r"\S+" if not self.quoted else r'"[^"\s]*"|[^"\s]+'
            cell_of_value = rf"[ \t]+(?:{self._or_quoted(value)})"
            return re.compile(
                rf"[ \t]*(?:(?:{cell})[ \t]+){{{skipped}}}({cell})((?:{cell_of_value}){{{values}}})[ \t]*"
            )
        between = re.escape(self.separator)
        cell = rf"[^{between}]*" if not self.quoted else rf' *"[^"{between}]*" *|[^"{between}]*'
        cell_of_value = rf"{between} *(?:{self._or_quoted(value)}) *"
        return re.compile(
            rf"(?:(?:{cell}){between}){{{skipped}}}({cell})((?:{cell_of_value}){{{values}}})(?:{between}[ {between}]*)?"
        )

    def _or_quoted(self, value: str) -> str:
        return rf'"(?:{value})"|{value}' if self.quoted else value
