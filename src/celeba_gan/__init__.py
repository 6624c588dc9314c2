"""From CelebA, or any folder of faces, to a trained face generator that is measured and shown.

    import celeba_gan

    generator = celeba_gan.train("photographs", "faces", size=64, kimg=500)
    evaluation = celeba_gan.evaluate("faces")
    images = celeba_gan.load_generator("faces").sample(16, seed=1, truncation=0.7)

These three functions are the whole public interface; `kedro run` does the same and more, with a project around it.
"""

from typing import TYPE_CHECKING, Any

from celeba_gan.foundation import __version__

if TYPE_CHECKING:
    from celeba_gan.api import evaluate, load_generator, train

__all__ = ["__version__", "evaluate", "load_generator", "train"]


def __getattr__(name: str) -> Any:
    """Imports the public functions on first use: torch takes seconds, and most commands do not need it."""
    if name in ("evaluate", "load_generator", "train"):
        from celeba_gan import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
