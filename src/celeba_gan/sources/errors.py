"""The error for a wrong or missing source."""


class SourceError(ValueError):
    """The images or annotations cannot be used.

    The message says what is wrong, where, what is allowed, and what to do.
    """
