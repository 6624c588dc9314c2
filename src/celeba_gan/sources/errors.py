"""The error that a wrong or missing source gives."""


class SourceError(ValueError):
    """The images or annotations at hand are not what was asked for.

    Its message is complete: what is wrong, where, what is allowed, and what to do.
    """
