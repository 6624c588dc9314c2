import logging
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeba_gan.celeba.annotations import read_attributes, read_identities, read_partition
from celeba_gan.celeba.attributes import ATTRIBUTES
from celeba_gan.celeba.errors import SourceError

LAYOUTS = st.fixed_dictionaries(
    {
        "end": st.sampled_from(["\n", "\r\n"]),
        "count": st.booleans(),
        "final_end": st.booleans(),
        "mark": st.sampled_from(["", "\ufeff"]),
    }
)


def lay_out(rows, *, end="\r\n", count=True, final_end=True, mark="", header=None):
    lines = ([str(len(rows))] if count else []) + ([header] if header else []) + rows
    return mark + end.join(lines) + (end if final_end else "")


def attribute_rows(values, *, absent="-1"):
    return [
        f"{number:06d}.jpg " + " ".join(" 1" if value else absent for value in row)
        for number, row in enumerate(values, start=1)
    ]


def pair_rows(values):
    return [f"{number:06d}.jpg {value}" for number, value in enumerate(values, start=1)]


def attribute_values(count, seed=0):
    return np.random.default_rng(seed).integers(0, 2, (count, len(ATTRIBUTES)))


HEADER = " ".join(ATTRIBUTES) + " "  # the official one ends in a blank before the line end


@settings(max_examples=25, deadline=None)
@given(layout=LAYOUTS, rows=st.integers(1, 6), seed=st.integers(0, 99), absent=st.sampled_from(["-1", "0"]))
def test_attributes_come_back_from_every_layout(layout, rows, seed, absent):
    values = attribute_values(rows, seed)
    table = read_attributes(lay_out(attribute_rows(values, absent=absent), header=HEADER, **layout))
    assert table.columns.tolist() == list(ATTRIBUTES)
    assert set(table.dtypes.astype(str)) == {"int8"}
    assert table.index.tolist() == [f"{number:06d}.jpg" for number in range(1, rows + 1)]
    np.testing.assert_array_equal(table, values)


@settings(max_examples=25, deadline=None)
@given(layout=LAYOUTS, values=st.lists(st.integers(0, 2), min_size=1, max_size=8))
def test_partition_comes_back_from_every_layout(layout, values):
    splits = read_partition(lay_out(pair_rows(values), **layout))
    assert splits.tolist() == [("train", "valid", "test")[value] for value in values]


@settings(max_examples=25, deadline=None)
@given(layout=LAYOUTS, values=st.lists(st.integers(1, 10_177), min_size=1, max_size=8))
def test_identities_come_back_from_every_layout(layout, values):
    assert read_identities(lay_out(pair_rows(values), **layout)).tolist() == values


def test_columns_in_another_order_come_back_in_the_official_one():
    values = attribute_values(3)
    text = lay_out(attribute_rows(values[:, ::-1]), header=" ".join(reversed(ATTRIBUTES)))
    np.testing.assert_array_equal(read_attributes(text), values)


def test_a_count_that_disagrees_is_told_and_the_rows_are_used(caplog):
    assert len(read_partition("7\n" + lay_out(pair_rows([0, 1, 2]), count=False))) == 3
    assert "counts 7 rows, it has 3" in caplog.text


@pytest.mark.parametrize("cut", [2, 20, 118])
def test_a_truncated_last_row_is_left_out_and_told_once(caplog, cut):
    text = lay_out(attribute_rows(np.zeros((5, 40), int)), header=HEADER, final_end=False)
    with caplog.at_level(logging.WARNING):
        table = read_attributes(text[: -cut + 1])
    assert table.index.tolist() == [f"{number:06d}.jpg" for number in range(1, 5)]
    assert [record.message for record in caplog.records if "1 of 5 rows cannot be read" in record.message]
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"", "an empty file"),
        (b"\r\n<!DOCTYPE html><html>Quota exceeded</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (b"\x00\x01\x02", "a binary file"),
        (b"image_id,partition\n000001.jpg,0\n", "a table with commas"),
        (b"1\nlefteye_x lefteye_y\n000001.jpg 1 2\n", "a landmark file"),
        (lay_out(attribute_rows(attribute_values(4)), header=HEADER).encode(), "list_attr_celeba.txt"),
        (lay_out(pair_rows([2880, 2937, 8692])).encode(), "identity_CelebA.txt"),
        (b"a b c d\ne f g h\n", "another table"),
    ],
)
def test_a_file_that_is_not_a_partition_is_named(tmp_path, content, looks):
    path = tmp_path / "list_eval_partition.txt"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=looks) as caught:
        read_partition(path)
    assert str(path) in str(caught.value)
    assert "Put the official file in its place" in str(caught.value)


def test_a_partition_in_the_place_of_identities_or_attributes_is_named():
    partition = lay_out(pair_rows([0, 0, 1, 2]))
    for read in (read_identities, read_attributes):
        with pytest.raises(SourceError, match=r"looks like list_eval_partition\.txt"):
            read(partition)


def test_contradictions_are_refused():
    with pytest.raises(SourceError, match="mixes -1 and 0"):
        read_attributes(lay_out([*attribute_rows([[0] * 40]), "000002.jpg" + " 0" * 40], header=HEADER))
    with pytest.raises(SourceError, match=r"more than one row for 000001\.jpg"):
        read_partition("000001.jpg 0\n000001.jpg 1\n")


def test_all_of_celeba_takes_seconds(tmp_path: Path):
    row = "-1  1 " * 20
    path = tmp_path / "list_attr_celeba.txt"
    path.write_bytes(
        "\r\n".join(["202599", HEADER, *(f"{number:06d}.jpg {row}" for number in range(1, 202_600)), ""]).encode()
    )
    start = time.process_time()
    table = read_attributes(path)
    assert table.shape == (202_599, 40)
    assert time.process_time() - start < 10
