"""Parametric portraits in the framing of CelebA's aligned faces, drawn with Pillow."""

from celeba_gan.portraits.description import Person, Portrait
from celeba_gan.portraits.drawing import DRAWING_VERSION, draw
from celeba_gan.portraits.sampling import IDENTITY_BLOCK, sample_portrait

__all__ = ["DRAWING_VERSION", "IDENTITY_BLOCK", "Person", "Portrait", "draw", "sample_portrait"]
