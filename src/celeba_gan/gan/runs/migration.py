"""How the cards of earlier format versions are brought up to date.

Version 2: penalties combine, each with its weight; before, there was one of a name. Settings that a version added
without a change of format need no line here: where a state lacks one, it was trained with that setting's default.
"""

from typing import Any


def migrate(kind: str, version: int, card: dict[str, Any]) -> dict[str, Any]:
    """The card as the present version would have written it.

    Args:
        kind: Of the checkpoint.
        version: In which format the card was written.
        card: Read from disk.
    """
    if version < 2 and kind == "training_state":
        identity = card["identity"]
        card = {**card, "identity": {**identity, "penalty": _combined(identity["penalty"])}}
    return card


def _combined(penalty: dict[str, Any]) -> dict[str, Any]:
    """Version 1's penalty, `gradient_penalty` or `none`, by weights."""
    return {"gradient_penalty": penalty["gradient_penalty"] if penalty["name"] != "none" else {"weight": 0.0}}
