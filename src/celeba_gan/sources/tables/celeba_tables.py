"""CelebA's own tables: attributes, partition, identities.

The readers accept the official text files and Kaggle's CSV with any separator, quotes, line ends and encoding; with or
without the count line and the header; with a wrong count; -1/1, 0/1 or true/false; some of the attributes in any order;
names as paths, in capitals, or as numbers; repeated and truncated rows. Unreadable rows are skipped, with one warning.
An ambiguous table is refused: a wrong label is worse than none.
"""

from __future__ import annotations

from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from celeba_gan.foundation.splits import SPLITS
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.tables.attribute_names import ATTRIBUTES
from celeba_gan.sources.tables.official_rows import INSTEAD, SPLIT_WORDS, Rows, TableKind, read_rows, wrong_table
from celeba_gan.sources.tables.text_table import AROUND_CELLS, TextFile

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame, Index, Series

ATTRIBUTES_FILE: Final = TableKind.ATTRIBUTES.file
PARTITION_FILE: Final = TableKind.PARTITION.file
IDENTITIES_FILE: Final = TableKind.IDENTITIES.file

_LAST_IN_SPLIT: Final = (162_770, 182_637)  # the last numbers of the official train and valid
_MOST_IMAGES_OF_A_PERSON: Final = 35  # in CelebA


def read_attributes(source: Path | str | TextFile) -> DataFrame:
    """Reads `list_attr_celeba`, official or as CSV.

    Returns:
        A table with the index `image_id` and the attributes of the file as int8 columns in the official order; 1 if the
        attribute is present, else 0.

    Raises:
        SourceError: The file is not an attribute table, has a column that is not an attribute, mixes values for
            absent attributes, or has different rows for one image.
    """
    import numpy as np
    import pandas as pd

    rows = read_rows(source, TableKind.ATTRIBUTES)
    text = "".join(rows.values_as_text)
    words = "e" in text or "E" in text
    used = [way for way, is_used in {"-1": "-" in text, "0": "0" in text, "true/false": words}.items() if is_used]
    if len(used) > 1:
        raise SourceError(
            f"{rows.where} mixes {' and '.join(used)} for absent attributes. Write one of -1, 0 and false in all rows, "
            f"or get {ATTRIBUTES_FILE} again."
        )
    if words:
        text = text.lower().replace("true", "1").replace("false", "0")
    digits = text.encode().replace(b"-1", b"0").translate(None, AROUND_CELLS.encode())
    values = np.frombuffer(digits, np.int8).reshape(len(rows.names), len(rows.columns)) - np.int8(ord("0"))
    kept = _one_of_each(rows, values)
    table = pd.DataFrame(values[kept], index=_index(rows, kept), columns=rows.columns)
    rows.log_remarks()
    return table[[attribute for attribute in ATTRIBUTES if attribute in table]]


def read_partition(source: Path | str | TextFile) -> Series[str]:
    """Reads `list_eval_partition`, official or as CSV.

    Returns:
        A column named `split` with the index `image_id` and the values "train", "valid", "test" (0, 1, 2 in the file;
        words are read as well).

    Raises:
        SourceError: The file is not a partition, numbers its splits differently, or has different rows for one image.
    """
    import numpy as np
    import pandas as pd

    rows = read_rows(source, TableKind.PARTITION)
    values = [value.strip(AROUND_CELLS).lower() for value in rows.values_as_text]
    numbers = {"0": 0, "1": 1, "2": 2}
    if len({value in numbers for value in set(values)}) > 1:
        raise SourceError(
            f"{rows.where} mixes numbers and words. Write 0, 1, 2 in every row, or train, valid, test in every row."
        )
    meaning = numbers | SPLIT_WORDS
    splits = np.array([meaning[value] for value in values], np.int8)
    if values[0] in numbers:
        _check_numbering(rows, splits)
    kept = _one_of_each(rows, splits[:, None])
    rows.log_remarks()
    return pd.Series(np.array(SPLITS)[splits[kept]], index=_index(rows, kept), name="split", dtype="str")


def read_identities(source: Path | str | TextFile) -> Series[int]:
    """Reads `identity_CelebA`, official or as CSV.

    Returns:
        An int32 column named `identity` with the index `image_id`; CelebA numbers its people from 1.

    Raises:
        SourceError: The file is not a list of identities, or has different rows for one image.
    """
    import numpy as np
    import pandas as pd

    rows = read_rows(source, TableKind.IDENTITIES)
    identities = np.array([int(value.strip(AROUND_CELLS)) for value in rows.values_as_text], np.int32)
    are_splits = identities.max() <= 2 and len(identities) > 2 * _MOST_IMAGES_OF_A_PERSON
    if identities.min() == 0 or are_splits:  # identities begin at 1, partition numbers at 0
        raise wrong_table(rows.table, TableKind.IDENTITIES)
    if rows.table.open_end:
        rows.remarks.append(
            f"its last line, {rows.table.lines[-1].strip()[:60]!r}, has no line end. If the file was cut off there, "
            "this identity may lack digits."
        )
    kept = _one_of_each(rows, identities[:, None])
    rows.log_remarks()
    return pd.Series(identities[kept], index=_index(rows, kept), name="identity")


def _check_numbering(rows: Rows, splits: np.ndarray) -> None:
    """Refuses splits numbered from 1, by comparison with CelebA's own partition."""
    if (splits == 0).any():
        return
    for name, split in zip(rows.names, splits.tolist(), strict=True):
        official = sum(int(name[:6]) > last for last in _LAST_IN_SPLIT)
        if split != official:
            raise SourceError(
                f"{rows.where} has no 0 (train) at all, and {split} for {name}, which is {official} "
                f"({SPLITS[official]}) in CelebA. If it numbers the splits from 1, write 0 for train, 1 for valid and "
                "2 for test, or these words."
            )


def _one_of_each(rows: Rows, values: np.ndarray) -> np.ndarray:
    """Which rows to keep, (rows,) bool, so that each image has one; `values` is (rows, columns).

    Raises:
        SourceError: Two rows of one image differ, or an image has the number 0.
    """
    import numpy as np
    import pandas as pd

    names = pd.Index(rows.names)
    if "000000.jpg" in names:
        raise SourceError(
            f"{rows.where} has a row for image 0. CelebA's images are numbered from 000001.jpg on, so these are other "
            f"images, or row numbers. {INSTEAD}"
        )
    repeated = names.duplicated()
    if repeated.any():
        first = {name: row for row, name in reversed(list(enumerate(rows.names)))}
        for row in np.flatnonzero(repeated).tolist():
            if (values[row] != values[first[rows.names[row]]]).any():
                raise SourceError(
                    f"{rows.where} has more than one row for {rows.names[row]}, and they differ. "
                    "Get the file again, or remove the wrong rows."
                )
        rows.remarks.append(f"{repeated.sum()} rows repeat an earlier one and are skipped.")
    return np.logical_not(repeated)


def _index(rows: Rows, kept: np.ndarray) -> Index[str]:
    import pandas as pd

    return pd.Index(list(compress(rows.names, kept.tolist())), dtype="str", name="image_id")
