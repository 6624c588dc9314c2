"""Typed documents: passed between rooms, and stored as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from celeba_gan.foundation.safety.secrets import mask_values

VERSION_KEY = "format_version"


class DocumentError(ValueError):
    """A stored document that cannot be read; the message says where, why, and what to do."""


def parse_json(text: str | bytes) -> Any:
    """As `json.loads`, but what is nested too deeply is a ValueError as well."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


class Record(BaseModel):
    """A frozen part of a document."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True, defer_build=True)


class Document(Record):
    """A frozen document with a format version.

    A subclass sets `version`, and overrides `migrate` when it raises it: the one place that knows earlier formats.
    """

    version: ClassVar[int] = 1
    """The format version that is written; documents without one have version 1."""
    oldest: ClassVar[int] = 1
    """The oldest format version that can be read."""
    noun: ClassVar[str] = "document"
    """For messages."""

    @classmethod
    def migrate(cls, version: int, values: dict[str, Any]) -> dict[str, Any]:
        """The stored values of an earlier version as `cls.version` writes them."""
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any], place: Path | str) -> Self:
        """Reads a stored document; messages name its `place`.

        Raises:
            DocumentError: The version is not supported, or a field is missing or wrong.
        """
        content = dict(values)
        version = content.pop(VERSION_KEY, 1)
        if not isinstance(version, int) or not cls.oldest <= version <= cls.version:
            raise DocumentError(
                f"{place} has format version {str(version)[:40]} of the {cls.noun}; this version of celeba_gan reads "
                f"{cls.oldest} to {cls.version}. Use the version that wrote it, or create it again"
            )
        try:
            return cls.model_validate(cls.migrate(version, content) if version < cls.version else content)
        except ValidationError as error:
            findings = "; ".join(f"{'.'.join(map(str, one['loc']))[:100]}: {one['msg']}" for one in error.errors()[:3])
            raise DocumentError(f"{place} is not a valid {cls.noun} ({findings}). Create it again") from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a file that `to_json` gave; otherwise as `from_json`."""
        try:
            values = parse_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DocumentError(f"{path} is not valid JSON ({error}). Create the {cls.noun} again") from error
        if not isinstance(values, dict):
            raise DocumentError(f"{path} is not a valid {cls.noun} (its JSON is not an object). Create it again")
        return cls.from_json(values, path)

    def to_json(self) -> dict[str, Any]:
        """The content as JSON values, its version first; texts without the secrets that addresses may hold."""
        values: dict[str, Any] = mask_values(self.model_dump(mode="json", by_alias=True))
        return {VERSION_KEY: self.version, **values}
