"""One face, moved along each direction."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from celeba_gan.gan.sampling.control_documents import Direction, Directions
from celeba_gan.reporting.generation.layout import draw_rows
from celeba_gan.reporting.grids import ImageGrid

_SEES: Final = 0.7  # AUC of a classifier below which its verdict on an attribute means little
_SIDE_EFFECTS: Final = 3


def draw_directions(
    directions: Directions, shown: Sequence[Direction], moves: Sequence[float], tiles: NDArray[np.uint8], tile: int = 64
) -> ImageGrid:
    """Draws a row for each direction: how well it predicts its attribute, the moved face, and what the move changes.

    Args:
        directions: All that were found.
        shown: Those in the rows.
        moves: Of the columns, in standard deviations of drawn latents.
        tiles: uint8 (rows, columns, size, size, 3).
        tile: For enlarging, in pixels.
    """
    if not shown:
        return ImageGrid.nothing(directions.images)
    attributes = len(directions.of_kind("attribute"))
    heading = [
        f"The same face, moved along each direction by {_signed(moves[0])} to {_signed(moves[-1])} standard deviations "
        "of drawn latents."
    ]
    if directions.classifier_digest is not None:
        heading += [
            "AUC: how well the direction predicts the classifier's verdict on held-out samples. The classifier's own "
            "AUC, on photographs, is named where it is low.",
            f"On the right: change of mean probabilities after a move by {_signed(directions.strength)}, in percentage "
            "points: of the attribute, and the largest side effects.",
        ]
        drawn = sum(direction.kind == "attribute" for direction in shown)
        if drawn < attributes:
            heading.append(
                f"The {drawn} of {attributes} attributes that are predicted best; all are in directions.json."
            )
    return ImageGrid(
        directions.images,
        draw_rows(
            tiles,
            [_signed(move) for move in moves],
            [about for about, _ in map(describe, shown)],
            [changes for _, changes in map(describe, shown)],
            heading,
            tile,
        ),
    )


def describe(direction: Direction) -> tuple[list[str], list[str]]:
    """The lines on the left of a direction's row, its name first, and those on the right, its own effect first."""
    return _about(direction), _changes(direction)


def _about(direction: Direction) -> list[str]:
    """A row's name, and how good its direction is."""
    name = direction.name.replace("_", " ")
    if direction.prediction is None:
        return [name.capitalize(), f"singular value {direction.singular_value or 0:.3g}"]
    lines = [name, f"AUC {direction.prediction.auc:.2f}"]
    if direction.orthogonal_to:
        lines.append(f"orthogonal to {' + '.join(direction.orthogonal_to).replace('_', ' ')}")
    if direction.classifier_auc is not None and direction.classifier_auc < _SEES:
        lines.append(f"classifier's own AUC {direction.classifier_auc:.2f}")
    return lines


def _changes(direction: Direction) -> list[str]:
    """What a move forwards changes: the attribute itself first, then the largest side effects."""
    if not direction.effects:
        return []
    sizes = {name: effect.forward for name, effect in direction.effects.items()}
    others = sorted(sizes.keys() - {direction.name}, key=lambda name: (-abs(sizes[name]), name))[:_SIDE_EFFECTS]
    own = [direction.name] if direction.name in sizes else []
    return [f"{name.replace('_', ' ')} {100 * sizes[name]:+.0f}" for name in [*own, *others]]


def _signed(number: float) -> str:
    return f"{number:+g}" if number else "0"
