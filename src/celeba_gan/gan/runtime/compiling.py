"""Compiles the losses with torch.compile, and goes back to eager where that fails.

What is compiled is a pure function of tensors: all noise comes as arguments, so that nothing is drawn inside, and no
Python number changes from step to step, so that nothing is compiled twice. The compiler's own CUDA graphs are not used:
their outputs live in memory that the next replay overwrites, while gradients and terms here are kept over several
calls. `graphs.py` records whole steps instead, compiled or not.
"""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from celeba_gan.gan.runtime.hardware import is_out_of_memory

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Compiler:
    """Wraps functions so that they run compiled, all of them, or all of them eagerly from the first failure on."""

    backend: str | Callable[..., Any] = "inductor"  # torch.compile's

    def __init__(self, works: bool) -> None:
        """Where `works` is false, everything runs eagerly from the start."""
        self.works = works
        self._said = False

    def wrap(self, function: Callable[..., Result], backward: Callable[[Result], object]) -> Callable[..., Result]:
        """The function, compiled if compilation is on and as long as it works.

        It takes tensors, sequences of tensors and bools, and has no side effects; `backward` differentiates its result
        and changes nothing. The first call with each combination of bools, which are compiled apart, is made twice:
        once on trial, with a backward pass, since torch compiles that only when it is needed.
        """
        if not self.works:
            return function
        try:
            # Shapes never change within a run, so none need be left open.
            compiled = torch.compile(function, fullgraph=True, dynamic=False, backend=self.backend)
        except Exception as error:  # a Python that torch cannot compile, for one
            self._give_up(error)
            return function
        tried: set[tuple[bool, ...]] = set()

        def call(*arguments: Any) -> Result:
            variant = tuple(argument for argument in arguments if isinstance(argument, bool))
            if self.works and variant not in tried:
                if not self._said:
                    logger.info("Compiling the training steps; the first time on a machine this may take a minute")
                    self._said = True
                tried.add(variant)
                try:
                    backward(compiled(*arguments))
                except Exception as error:  # whatever a compiler may raise: there is no common class
                    if is_out_of_memory(error):
                        raise
                    backward(function(*arguments))  # raises an error of the arithmetic itself
                    self._give_up(error)
            return compiled(*arguments) if self.works else function(*arguments)

        return call

    def _give_up(self, error: Exception) -> None:
        self.works = False
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        logger.warning(
            "Training runs without torch.compile, which failed (%s: %s). Its results are as good, it is only slower; "
            "train.compile=false silences this",
            type(error).__name__,
            reason,
        )
