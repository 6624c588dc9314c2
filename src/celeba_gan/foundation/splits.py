"""CelebA's own partition, which every data set here follows."""

from typing import Final

SPLITS: Final = ("train", "valid", "test")
