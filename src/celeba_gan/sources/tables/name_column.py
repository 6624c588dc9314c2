"""Which column of a table names the images."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.tables.name_matching import file_name, loosest_spelling
from celeba_gan.sources.tables.text_table import NAME_COLUMNS

if TYPE_CHECKING:
    from pandas import DataFrame


def below_folder(path: str) -> str:
    r"""A path with `/` in place of `\`, and without `./`."""
    return "/".join(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))


def find_name_column(
    where: str, header: Sequence[str], cells: DataFrame, images: Collection[str], others: Collection[str] = ()
) -> int | None:
    """The place of the column that names images, from 0; None if none does.

    It is one with paths or file names of images as they are, or else with these in the loosest spelling that
    `match_names` knows: a number may be the name of an image, and the number of a row. In both cases one called as
    `NAME_COLUMNS` is preferred, then one with paths, then the one that names the most images.

    Args:
        where: The table's name, for messages.
        header: The names of the columns.
        cells: Text.
        images: Paths of the images, with `/`.
        others: Names of columns that are something else, in lower case.

    Raises:
        SourceError: Two columns name as many images, and not the same in each row.
    """
    written = {
        place: [below_folder(cell) for cell in cells.iloc[:, place].unique()]
        for place, name in enumerate(header)
        if name.lower() not in others
    }
    called = {place: paths for place, paths in written.items() if header[place].lower() in NAME_COLUMNS}
    distinct = {place: paths for place, paths in written.items() if len(paths) == len(cells)}
    ways = (
        (called, str, 1),
        (called, file_name, 1),
        (written, str, 1),
        (written, file_name, 1),
        (called, _loosest, 1),
        # numbers and answers may be spelt as a few images are
        (distinct, _loosest, max(1, min(len(cells), len(images)) // 2)),
    )
    for columns, spelling, least in ways:
        known = {spelling(image) for image in images}
        counts = {place: len(known.intersection(map(spelling, paths))) for place, paths in columns.items()}
        most = max(counts.values(), default=0)
        if most < least:
            continue
        first, *others_as_good = (place for place, count in counts.items() if count == most)
        names = [spelling(below_folder(cell)) for cell in cells.iloc[:, first]]
        for place in others_as_good:
            if names != [spelling(below_folder(cell)) for cell in cells.iloc[:, place]]:
                raise SourceError(
                    f"{where}: column {first + 1} ({header[first]!r}) and column {place + 1} ({header[place]!r}) name "
                    "as many images, but not the same. Call the right one image_id, and remove or rename the other."
                )
        return first
    return None


def _loosest(path: str) -> str:
    return loosest_spelling(file_name(path))
