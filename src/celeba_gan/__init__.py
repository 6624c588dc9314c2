"""From CelebA, or any folder of faces, to a trained face generator that is measured and shown."""

__version__ = "0.1.0"
