"""What several rooms share: pixel conversion, precision, atomic files, settings, words for people."""

__version__ = "0.2.0"
