import codecs
import contextlib
import logging
import random
import re
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeba_gan.foundation.splits import SPLITS
from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.tables.attribute_names import ATTRIBUTES
from celeba_gan.sources.tables.celeba_tables import read_attributes, read_identities, read_partition
from celeba_gan.sources.tables.text_table import TextFile

READERS = {"attributes": read_attributes, "partition": read_partition, "identities": read_identities}
VALUE_COLUMN = {"partition": ["partition", "split"], "identities": ["identity"]}
ABSENT_PRESENT = {"-1/1": ("-1", "1"), "0/1": ("0", "1"), "true/false": ("False", "True"), "blanks": ("-1", " 1")}
SPLIT_FORMS = [("0", "1", "2"), ("train", "valid", "test"), ("train", "val", "test"), ("Train", "validation", "Test")]
ENCODINGS = {
    "utf-8": b"",
    "utf-8-sig": b"",  # Python writes this mark itself
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}
NAME_FORMS = {
    "official": "{:06d}.jpg",
    "capitals": "{:06d}.JPG",
    "png": "{:06d}.png",
    "path": "img_align_celeba/{:06d}.jpg",
    "windows": r"D:\celeba\img_align_celeba\{:06d}.jpg",
    "padded": "{:06d}",
    "number": "{}",
}


@dataclass(frozen=True)
class Table:
    """A table of CelebA's in one of the forms that people have."""

    kind: str
    values: dict[int, list]  # by the image's number: as int, in the order of `columns`
    columns: list[str]
    header: str | None = None  # how the column of names is called; "" for the official header, which leaves it out
    words: tuple[str, ...] = ()  # how the values are written; identities: as they are
    separator: str = " "
    end: str = "\r\n"
    encoding: str = "utf-8"
    count: int | None = None
    name_form: str = "official"
    quoted: bool = False
    row_numbers: bool = False
    final_end: bool = True

    @property
    def lines(self):
        lines = [] if self.count is None else [str(self.count)]
        if self.header is not None:
            lines.append(self.line([""] * self.row_numbers + [self.header] * bool(self.header) + self.columns))
        for row, (number, values) in enumerate(self.values.items()):
            texts = [self.words[value] if self.words else str(value) for value in values]
            cells = [NAME_FORMS[self.name_form].format(number), *texts]
            lines.append(self.line([str(row)] * self.row_numbers + cells))
        return lines

    def line(self, cells):
        return self.separator.join(f'"{cell.strip()}"' if self.quoted else cell for cell in cells)

    @property
    def data(self):
        return self.encode(self.end.join(self.lines) + self.end * self.final_end)

    def encode(self, text):
        return ENCODINGS[self.encoding] + text.encode(self.encoding)

    @property
    def expected(self):
        """The values as read, by the image's name."""
        return {f"{number:06d}.jpg": self.meaning(values) for number, values in self.values.items()}

    def meaning(self, values):
        if self.kind == "attributes":
            return dict(zip(self.columns, values, strict=True))
        return SPLITS[values[0]] if self.kind == "partition" else values[0]


def read(kind, data):
    """The values by the image's name, as `Table.expected`; and what was warned of."""
    with heard() as messages:
        result = READERS[kind](TextFile("the file", data))
    assert result.index.name == "image_id"
    assert result.index.is_unique
    if kind != "attributes":
        return result.to_dict(), messages
    assert result.columns.tolist() == [attribute for attribute in ATTRIBUTES if attribute in result.columns]
    assert set(result.dtypes.astype(str)) <= {"int8"}  # none where damage changed the only name
    return result.to_dict("index"), messages


@contextlib.contextmanager
def heard():
    messages: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    logger, handler = logging.getLogger("celeba_gan.sources"), Handler(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


def numbered(count, **options):
    return st.lists(st.integers(1, 202_599), min_size=count, max_size=8, unique=True, **options)


@st.composite
def tables(draw, count=2):
    kind = draw(st.sampled_from(sorted(READERS)))
    numbers = draw(numbered(count))
    header = draw(st.sampled_from([None, "", "image_id", "filename"]))
    columns, words = ["value"], ()
    if kind == "attributes":
        columns = list(ATTRIBUTES)
        if header is not None:
            columns = draw(st.permutations(ATTRIBUTES))[: draw(st.sampled_from([1, 2, 39, 40]))]
        forms = sorted(ABSENT_PRESENT) if header is not None else ["-1/1", "0/1", "blanks"]
        words = ABSENT_PRESENT[draw(st.sampled_from(forms))]
    elif header is not None:
        columns = [draw(st.sampled_from(VALUE_COLUMN[kind]))]
    if kind == "partition":
        words = draw(st.sampled_from(SPLIT_FORMS))
    seed = draw(st.integers(0, 999))
    low, high = {"attributes": (0, 1), "partition": (0, 2), "identities": (1, 10_177)}[kind]
    values = np.random.default_rng(seed).integers(low, high, (len(numbers), len(columns)), endpoint=True)
    if kind == "partition":
        values[0] = 0  # without train, what 1 and 2 mean is asked of the official partition
    return Table(
        kind,
        dict(zip(numbers, values.tolist(), strict=True)),
        columns,
        header,
        words,
        separator=draw(st.sampled_from([" ", ",", ";", "\t", ", "])),
        end=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        encoding=draw(st.sampled_from(sorted(ENCODINGS))),
        count=draw(st.sampled_from([None, len(numbers), len(numbers), 202_599])),
        name_form=draw(st.sampled_from(sorted(NAME_FORMS))),
        quoted=draw(st.booleans()) and words != ABSENT_PRESENT["blanks"],
        final_end=draw(st.booleans()),
    )


@settings(max_examples=200, deadline=None)
@given(tables())
def test_every_form_says_the_same(table):
    read_back, messages = read(table.kind, table.data)
    assert read_back == table.expected
    told = " ".join(messages)
    assert ("counts 202599 rows" in told) == (table.count == 202_599)
    assert ("no header line" in told) == (table.kind == "attributes" and table.header is None)
    assert ("are read as" in told) == (table.name_form != "official")
    assert len(messages) == len(set(messages))


@settings(max_examples=100, deadline=None)
@given(tables(), st.data())
def test_rows_numbered_by_pandas_or_r_say_the_same(table, data):
    header = data.draw(st.sampled_from(["image_id", "filename"]))
    if table.header is None:
        table = replace(table, header=header, columns=table.columns if table.kind == "attributes" else ["partition"])
    if table.kind == "identities":
        table = replace(table, columns=["identity"])
    table = replace(table, header=header, row_numbers=True)
    if table.separator == " " and not table.quoted:  # as it leaves an empty name out
        assert table.lines[table.count is not None].startswith(" ")
    assert read(table.kind, table.data)[0] == table.expected


@settings(max_examples=150, deadline=None)
@given(tables(count=4), st.data())
def test_a_table_cut_off_gives_the_rows_before(table, data):
    text = table.end.join(table.lines)
    last = len(table.lines[-1])
    cut = data.draw(st.integers(1, last))
    read_back, messages = read(table.kind, table.encode(text[: len(text) - cut]))
    expected = table.expected
    *whole, (name, value) = expected.items()
    got = read_back.pop(name, value)
    assert read_back == dict(whole)
    assert len(messages) == len(set(messages))
    if got != value:  # digits may be missing from the last identity, and that is said
        assert table.kind == "identities"
        assert str(value).startswith(str(got))
        assert "no line end" in " ".join(messages)


JUNK = [
    "",
    "   ",
    "x",
    "7",
    "202599",
    ",,,",
    "000001",
    "<html>",
    "image_id",
    "\x0b",
    "é",
    "0,0",
    '"',
    "sep=;",
    "-1 " * 40,
]


@dataclass
class Mutation:
    """Lines that were moved, added or lost, and the numbers of the images whose row was touched."""

    lines: list[str]
    touched: set[str] = field(default_factory=set)
    header_lost: bool = False


def mutate(table, random_, kind):
    lines = table.lines
    first = len(lines) - len(table.values)
    names = list(table.expected)
    at, other = random_.randrange(len(lines)), random_.randrange(len(lines))
    mutation = Mutation(lines)
    if kind == "delete":
        mutation.header_lost = table.header is not None and at == first - 1
        del lines[at]
    elif kind == "insert":
        lines.insert(
            at, random_.choice([*JUNK, lines[other], lines[other][: random_.randrange(len(lines[other]) + 1)]])
        )
    elif kind == "swap":
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == "cut":
        mutation.touched = set(names[max(0, at - first) :])
        mutation.header_lost = table.header is not None and at <= first - 1
        mutation.lines = [*lines[:at], lines[at][: random_.randrange(len(lines[at]) + 1)]]
    return mutation


@settings(max_examples=300, deadline=None)
@given(tables(count=3), st.integers(0, 2**32), st.sampled_from(["delete", "insert", "swap", "cut"]))
def test_lines_lost_added_or_moved_change_no_other_row(table, seed, kind):
    mutation = mutate(table, random.Random(seed), kind)
    data = table.encode(table.end.join([*mutation.lines, ""]))
    try:
        read_back, messages = read(table.kind, data)
    except SourceError as error:
        assert_complete(error)
        return
    if mutation.header_lost and table.kind == "attributes" and table.columns != list(ATTRIBUTES):
        assert "no header line" in " ".join(messages)
        return
    for name in (read_back.keys() & table.expected.keys()) - mutation.touched:
        assert read_back[name] == table.expected[name]


@settings(max_examples=300, deadline=None)
@given(tables(count=3), st.integers(0, 2**32), st.integers(1, 3))
def test_damaged_bytes_change_no_other_row(table, seed, flips):
    random_ = random.Random(seed)
    table = replace(table, encoding=random_.choice(["utf-8", table.encoding]))
    data = bytearray(table.data)
    touched = set()
    for _ in range(flips):
        at = random_.randrange(len(data))
        data[at] = random_.choice([random_.randrange(256), data[at] ^ (1 << random_.randrange(8)), *b'\n\r ,;\t"0129-'])
        touched.add(at)
    try:
        read_back, _ = read(table.kind, bytes(data))
    except SourceError as error:
        assert_complete(error)
        return
    if table.encoding != "utf-8":
        return
    begin = 0
    lines = table.lines
    rows = dict(zip(list(table.expected), lines[len(lines) - len(table.values) :], strict=True))
    starts = {}
    for line in lines:
        starts[line] = begin
        begin += len(line.encode()) + len(table.end)
    for name in read_back.keys() & rows.keys():
        around = range(
            starts[rows[name]] - len(table.end), starts[rows[name]] + len(rows[name].encode()) + len(table.end)
        )
        if touched.isdisjoint(around):
            assert read_back[name] == table.expected[name]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(READERS)), st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_anything_else_is_refused(kind, data):
    with pytest.raises(SourceError) as caught:
        read(kind, data)
    assert_complete(caught.value)


def assert_complete(error):
    assert str(error).startswith(("the file ", "the file:", "the file,"))
    assert re.search(r"(Get|Put|Write|Remove|Correct|Add|write) ", str(error))


def lay_out(rows, *, end="\r\n", count=True, final_end=True, header=None):
    lines = ([str(len(rows))] if count else []) + ([header] if header else []) + rows
    return end.join(lines) + (end if final_end else "")


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


def test_the_official_layout_is_read_without_a_word(caplog):
    values = attribute_values(20)
    table = read_attributes(lay_out(attribute_rows(values), header=HEADER))
    assert table.columns.tolist() == list(ATTRIBUTES)
    assert table.index.tolist() == [f"{number:06d}.jpg" for number in range(1, 21)]
    np.testing.assert_array_equal(table, values)
    assert read_partition(lay_out(pair_rows([0, 1, 2]), count=False)).tolist() == ["train", "valid", "test"]
    identities = read_identities(lay_out(pair_rows([2880, 2937, 2]), count=False))
    assert identities.tolist() == [2880, 2937, 2]
    assert str(identities.dtype) == "int32"
    assert not caplog.records


def test_all_of_celeba_is_read(tmp_path):
    path = tmp_path / "list_attr_celeba.txt"
    rows = [f"{number:06d}.jpg {'-1  1 ' * 20}" for number in range(1, 202_600)]
    path.write_bytes(lay_out(rows, header=HEADER).encode())
    table = read_attributes(path)
    assert table.shape == (202_599, 40)
    assert table.sum().tolist() == [0, 202_599] * 20


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


def test_rows_that_repeat_are_counted_and_those_that_differ_refused(caplog):
    partition = read_partition("000001.jpg 0\n000002.jpg 1\n1 0\nimg_align_celeba/000002.JPG 1\n000001.jpg 0\n")
    assert partition.to_dict() == {"000001.jpg": "train", "000002.jpg": "valid"}
    assert "3 rows repeat an earlier one" in caplog.text
    with pytest.raises(SourceError, match=r"more than one row for 000001\.jpg, and they differ"):
        read_partition("000001.jpg 0\n1 1\n")
    rows = attribute_rows(attribute_values(2))
    with pytest.raises(SourceError, match=r"more than one row for 000002\.jpg"):
        read_attributes(
            lay_out([*rows, rows[1].replace("1", "-1", 2)[:2] + rows[0][2:5] + "2" + rows[0][6:]], header=HEADER)
        )


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (b"", "an empty file"),
        (b" \r\n\r\n", "an empty file"),
        (b",,,\n;;\n", "a file without rows"),
        (b"202599\n", "a file without rows"),
        (b"\r\n<!DOCTYPE html><html>Quota exceeded</html>", "a web page"),
        (codecs.BOM_UTF16_LE + "<html>Quota exceeded".encode("utf-16-le"), "a web page"),
        (b'{"error": {"code": 403}}', "a JSON document"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(100), "a zip archive"),
        (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", "an Excel workbook"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "a JPEG image"),
        (b"\x00\x01\x02", "a binary file"),
        ("000001.jpg 0\n".encode("utf-16-le"), "a binary file"),  # without its mark
        (b"000001.jpg 0\n00000\x002.jpg 1\n" + b" " * 5000, "a binary"),
        (b"000001.jpg 0\n" * 1000 + b"000002.jpg \xff\n", r"not UTF-8 \(byte 13,011"),
        (b"1\nlefteye_x lefteye_y\n000001.jpg 1 2\n", "a landmark file"),
        (b"image_id,lefteye_x,lefteye_y,righteye_x\n000001.jpg,69,109,106\n", "a landmark file"),
        (b"image_id,x_1,y_1,width,height\n000001.jpg,95,71,226,313\n", "list_bbox_celeba.txt"),
        (b"000001.jpg 95 71 226 313\n000002.jpg 72 94 221 306\n", "list_bbox_celeba.txt"),
        (b"000001.jpg" + b" 69" * 10 + b"\n", "a landmark file"),
        (b"idx orig_idx orig_file\n0 119613 119613.jpg\n", "CelebA-HQ-to-CelebA-mapping.txt"),
        (lay_out(attribute_rows(attribute_values(4)), header=HEADER).encode(), "list_attr_celeba.txt"),
        (b"image_id,Male\n000001.jpg,1\n", "list_attr_celeba.txt"),
        (lay_out(attribute_rows(attribute_values(4))).encode(), "list_attr_celeba.txt"),
        (lay_out(pair_rows([2880, 2937, 8692])).encode(), "identity_CelebA.txt"),
        (b"image_id,identity\n000001.jpg,1\n", "identity_CelebA.txt"),
        (b"file,age,gender\ntrain/1.jpg,50-59,Male\n", "another table; its first line is 'file,age,gender'"),
        (b"a b c d\ne f g h\n", "another table"),
        (b"Entry not found", "another table"),
    ],
)
def test_a_file_that_is_not_a_partition_is_named(tmp_path, content, looks):
    path = tmp_path / "list_eval_partition.txt"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=looks) as caught:
        read_partition(path)
    assert str(path) in str(caught.value)
    assert "Put the official file in its place" in str(caught.value)


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"cannot be read \(Is a directory\)"):
        read_partition(tmp_path)


@pytest.mark.parametrize("header", ["", "image_id,partition\n"])
def test_a_partition_in_the_place_of_identities_or_attributes_is_named(header):
    partition = header + lay_out(pair_rows([0, 0, 1, 2]), count=False).replace(" ", "," if header else " ")
    for reader in (read_identities, read_attributes):
        with pytest.raises(SourceError, match=r"looks like list_eval_partition\.txt"):
            reader(partition)


def test_a_partition_without_train_is_not_taken_for_identities():
    with pytest.raises(SourceError, match=r"looks like list_eval_partition\.txt"):
        read_identities(lay_out(pair_rows([1, 2] * 100)))


def test_a_partition_numbered_from_one_is_refused():
    for values in ([1, 2, 3] * 4, [1, 2, 2]):
        with pytest.raises(SourceError, match=r"1 for 000001\.jpg, which is 0 \(train\) in CelebA"):
            read_partition(lay_out(pair_rows(values)))
    assert read_partition("162771.jpg 1\n182638.jpg 2\n").tolist() == ["valid", "test"]  # a sample of CelebA
    with pytest.raises(SourceError, match="mixes numbers and words"):
        read_partition("000001.jpg 0\n000002.jpg val\n")


def test_ways_to_write_absent_are_not_mixed():
    with pytest.raises(SourceError, match="mixes -1 and 0"):
        read_attributes(lay_out([*attribute_rows([[0] * 40]), "000002.jpg" + " 0" * 40], header=HEADER))
    with pytest.raises(SourceError, match="mixes 0 and true/false"):
        read_attributes("image_id,Male,Young\n000001.jpg,True,0\n")


@pytest.mark.parametrize("value", ["2", "", "nan", "1.5", "yes", "--1"])
def test_other_values_are_refused(value):
    with pytest.raises(SourceError, match=rf"2 of 2 rows cannot be read; the first is '000001\.jpg,{value},1'"):
        read_attributes(f"image_id,Male,Young\n000001.jpg,{value},1\n000002.jpg,{value},0\n")


def test_unknown_columns_are_refused_by_name_with_the_nearest():
    with pytest.raises(SourceError, match=r"'male' \(did you mean 'Male'\?\), 'partition'") as caught:
        read_attributes("image_id,male,Young,partition\n000001.jpg,1,1,0\n")
    assert "remove the columns" in str(caught.value)
    with pytest.raises(SourceError, match=r"'Big_Lip' \(did you mean 'Big_Lips'\?\)"):
        read_attributes("image_id,Big_Lip\n000001.jpg,1\n")
    with pytest.raises(SourceError, match="more than one column for Male"):
        read_attributes("image_id,Male,Young,Male\n000001.jpg,1,1,0\n")
    with pytest.raises(SourceError, match="more than one column for partition, split"):
        read_partition("image_id,partition,split\n000001.jpg,1,1\n")


def test_numbers_of_rows_are_not_taken_for_images():
    for numbers in ((0, 1), (17, 4)):  # a table written by pandas with its image_id lost, and a sample of one
        rows = "".join(f"{number},1\n" for number in numbers)
        with pytest.raises(SourceError, match="has no column of image names"):
            read_attributes(f",Male\n{rows}")
    with pytest.raises(SourceError, match="has no column of image names"):
        read_attributes(" Male\n3 1\n4 -1\n")
    with pytest.raises(SourceError, match="a row for image 0"):
        read_identities("0 2880\n1 2937\n")
    assert read_attributes(",Male\n000017,1\n").index.tolist() == ["000017.jpg"]
    assert read_attributes(",Male\n000017.jpg,1\n").index.tolist() == ["000017.jpg"]


def test_tables_of_other_numberings_are_refused():
    rows = [f"{number}.jpg " + " ".join(["-1"] * 40) for number in range(5)]
    with pytest.raises(SourceError, match="CelebAMask-HQ, whose images are numbered"):
        read_attributes(lay_out(rows, header=HEADER))
    with pytest.raises(SourceError, match=r"celeba_hq/train/male/000003\.jpg"):
        read_attributes("image_id,Male\nceleba_hq/train/male/000003.jpg,1\n")
    with pytest.raises(SourceError, match="a row for image 0"):
        read_attributes("image_id,Male\n000000.jpg,1\n000001.jpg,1\n")


def test_a_header_among_the_rows_is_refused_unless_it_repeats_the_first():
    first, second = "image_id,Male,Young\n000001.jpg,1,0\n000004.jpg,1,0\n", "000002.jpg,0,1\n000003.jpg,0,0\n"
    assert len(read_attributes(first + "image_id,Male,Young\n" + second)) == 4
    with pytest.raises(SourceError, match="header line among its rows: 'image_id,Young,Male'"):
        read_attributes(first + "image_id,Young,Male\n" + second)


def test_the_first_unreadable_row_is_named_with_its_line_and_cell(caplog):
    text = "3\nimage_id,Male,Young\n\n000001.jpg,1,0\n000002.jpg,1,NA\nimage_id,Male,Young\n000003.jpg,0,0\nx,1,1\n"
    assert read_attributes(text).index.tolist() == ["000001.jpg", "000003.jpg"]
    assert "2 of 4 rows cannot be read and are skipped; the first is '000002.jpg,1,NA' (line 5: 'NA' as Young)" in (
        caplog.text
    )
    assert "ignoring 1 repeated header, first in line 6" in caplog.text
    with pytest.raises(SourceError, match=r"line 2: 1 values for 2 columns"):
        read_attributes("image_id,Male,Young\n000001.jpg,1\n000002.jpg,0\n")
    with pytest.raises(SourceError, match=r"line 2: 'a\.jpg' names no image"):
        read_attributes("image_id,Male,Young\na.jpg,1,1\nb.jpg,0,1\n")


@pytest.mark.parametrize("header", ["Female", "Female,Age", "Female,Age,Race,Smilling", "gender,hair"])
def test_a_table_of_other_attributes_is_called_so(header):
    row = ",1" * len(header.split(","))
    with pytest.raises(SourceError, match="looks like another table") as caught:
        read_attributes(f"image_id,{header}\n000001.jpg{row}\n")
    assert "did you mean" not in str(caught.value)


def test_a_line_of_a_megabyte_is_no_trap():
    for junk in (" " * 10**6, "," * 10**6, "1 , " * 10**5, '"' * 10**6, "0" * 10**6, "a/" * 10**5, "\t 1" * 10**5):
        for reader, row in ((read_partition, "000001.jpg,0"), (read_identities, "000001.jpg 5")):
            assert len(reader(f"{row}\n{row.replace('1', '2')}\n{row.replace('1', '3')}x{junk}x\n")) == 2


def test_a_header_that_names_no_values_is_refused():
    with pytest.raises(SourceError, match="has no columns but the images' names in its header line") as error:
        read("identities", b"image_id\n000001.jpg 8657\n000002.jpg 6483\n")
    assert_complete(error.value)
