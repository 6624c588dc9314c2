"""Answers requests: checks their rows, draws the pictures together, and encodes them."""

import base64
import io
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from celeba_gan.gan.inputs.conditions import ConditionError, named_labels
from celeba_gan.gan.sampling.trained import TrainedGenerator
from celeba_gan.serving.rows import Limits, RequestError, Row, read_rows

_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "png": {},
    "webp": {"quality": 90},
    "jpeg": {"quality": 95, "subsampling": 0},
}
_DRAWN: Final = 2**20  # pixels that are computed together
_TOGETHER: Final = 1024  # numbers of a seed whose latents are drawn together

Answer = dict[str, object]


class PictureService:
    """Draws the pictures of requests with one generator; any number of threads may ask at once.

    Attributes:
        limits: How much a request may hold.
    """

    def __init__(self, generator: TrainedGenerator) -> None:
        self.generator = generator
        self.limits = Limits.of(generator.card.size, generator.latent.size, generator.names)
        # The generator keeps means, and switches the precision of the whole process while it computes. One picture
        # after the other is also as fast: torch itself uses all cores.
        self._lock = threading.Lock()

    def answer(self, rows: Sequence[Mapping[str, object]], params: Mapping[str, object]) -> list[Answer]:
        """The pictures of rows, each with its `COLUMNS` where `params` and `DEFAULTS` fill what is missing.

        Returns:
            For each row, in order: `image` (base64), `format`, `seed` and `number` (None if it has latents),
            `truncation`, `labels` (the names of those it has) and `latents`. The same seed and number, or the same
            latents, with the same truncation and labels make the same picture, up to one grey level.

        Raises:
            RequestError: The first row that cannot be drawn, and why; nothing was drawn.
        """
        requested = read_rows(rows, params, self.limits)
        labels = [self._named(number, row.labels) for number, row in enumerate(requested)]
        latents, drawn = self._draw(requested, labels)
        label = torch.stack([own if given is None else given for own, given in zip(drawn, labels, strict=True)])
        answers: list[Answer] = [{} for _ in requested]
        for places in self._batches(requested):
            with self._lock:
                images = self.generator.images(latents[places], label[places], requested[places[0]].truncation)
            for place, image in zip(places, images, strict=True):
                answers[place] = self._describe(requested[place], image, latents[place], label[place])
        return answers

    def _named(self, number: int, labels: str) -> Tensor | None:
        """A label, float32 (names,); None where no label is named."""
        if not labels:
            return None
        parts = labels.split("+")
        known = sum(len(name.split("+")) for name in self.generator.names)
        if known and len(parts) > known:
            raise RequestError(f"row {number}: labels has {len(parts)} names; the generator knows {known}")
        try:
            return named_labels(self.generator.condition, parts)
        except ConditionError as error:
            raise RequestError(f"row {number}: {error}") from None

    def _draw(self, rows: Sequence[Row], named: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
        """Latents (rows, latent size), and the labels (rows, names) that rows have if they name none.

        Latents without labels get those of the very first sample.
        """
        generator = self.generator
        together: dict[tuple[int, int], list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            if row.latents is None or named[place] is None:
                together[row.seed, row.number // _TOGETHER].append(place)
        latents = torch.zeros(len(rows), generator.latent.size)
        labels = torch.zeros(len(rows), len(generator.names))
        for (seed, _), places in together.items():
            first = min(rows[place].number for place in places)
            count = max(rows[place].number for place in places) - first + 1
            drawn = generator.draw(count, seed, first=first)
            numbers = [rows[place].number - first for place in places]
            latents[places], labels[places] = drawn[0][numbers], drawn[1][numbers]
        for place, row in enumerate(rows):
            if row.latents is not None:
                latents[place] = torch.from_numpy(row.latents)
        return latents, labels

    def _batches(self, rows: Sequence[Row]) -> Iterator[list[int]]:
        """Places of rows that are computed together: they have the same truncation."""
        alike: dict[float, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            alike[row.truncation].append(place)
        most = max(1, _DRAWN // self.generator.card.size**2)
        for places in alike.values():
            yield from (places[start : start + most] for start in range(0, len(places), most))

    def _describe(self, row: Row, image: NDArray[np.uint8], latents: Tensor, label: Tensor) -> Answer:
        names = [name for name, value in zip(self.generator.names, label.tolist(), strict=True) if value]
        return {
            "image": base64.b64encode(encode(image, row.format)).decode("ascii"),
            "format": row.format,
            "seed": row.seed if row.latents is None else None,
            "number": row.number if row.latents is None else None,
            "truncation": row.truncation,
            "labels": "+".join(names),
            "latents": latents.tolist(),
        }


def encode(image: NDArray[np.uint8], name: str) -> bytes:
    """An image uint8 (height, width, 3) as a file of one of the `FORMATS`; PNG keeps every pixel as it is."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, name, **_OPTIONS[name])
    return file.getvalue()
