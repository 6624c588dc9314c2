"""What several rooms share: pixel conversion, precision, atomic files, settings, words for people."""

__version__ = "0.1.0"
