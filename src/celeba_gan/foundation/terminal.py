"""What people want of a terminal."""

import os


def wants_plain_text() -> bool:
    """Whether output must be free of escape sequences: NO_COLOR (no-color.org) is set, or the terminal is dumb."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
