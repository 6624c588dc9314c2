"""The error for a wrong or missing source."""


class SourceError(ValueError):
    """The images or annotations cannot be used; the message says where, what is allowed, and what to do."""
