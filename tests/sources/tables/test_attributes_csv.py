import codecs
import csv
import io
import random
import re
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeba_gan.sources.errors import SourceError
from celeba_gan.sources.tables.attributes_csv import read_custom_attributes
from celeba_gan.sources.tables.text_table import TextFile

WAYS = [("0", "1"), ("-1", "1"), ("false", "true"), ("False", "True"), ("no", "yes"), ("No", "YES"), ("0.0", "1.0")]
SPLITS = [("0", "1", "2"), ("train", "valid", "test"), ("Train", "val", "TEST"), ("training", "validation", "testing")]
SPECIAL = ["split", "label", "identity"]

CLEAN = st.text(st.characters(categories=["L", "N"], include_characters="_- ."), min_size=1, max_size=8)
OTHER_MEANING = re.compile(
    r"image(_id|_name)?|file_?name|file|path|name|split|partition|(sub)?set|label|class|identity|width|height|.*\.\w+",
    re.I,
)
ATTRIBUTE_NAMES = CLEAN.map(str.strip).filter(lambda name: name and not OTHER_MEANING.fullmatch(name))
FILE_NAMES = st.text(st.characters(categories=["L", "N"], include_characters="_- ,;'\""), min_size=1, max_size=8)
PATHS = st.lists(FILE_NAMES.map(str.strip).filter(bool), min_size=1, max_size=3).map(
    lambda parts: "/".join(parts) + ".jpg"
)


@st.composite
def tables(draw):
    """The bytes of a table, and what it says by column."""
    paths = draw(st.lists(PATHS, min_size=3, max_size=8, unique=True))
    count = len(paths)
    names = draw(st.lists(ATTRIBUTE_NAMES, min_size=1, max_size=4, unique_by=str.lower))
    columns, meaning = {}, {}
    for name in names:
        bits = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
        way = draw(st.sampled_from(WAYS))
        columns[f" {name} " if draw(st.booleans()) else name] = [way[bit] for bit in bits]
        meaning[name] = bits
    if draw(st.booleans()):
        numbers = [0, *draw(st.lists(st.integers(0, 2), min_size=count - 1, max_size=count - 1))]
        words = draw(st.sampled_from(SPLITS))
        columns["split"] = [words[number] for number in numbers]
        meaning["split"] = [("train", "valid", "test")[number] for number in numbers]
    if draw(st.booleans()):
        columns["Label"] = draw(st.lists(FILE_NAMES.map(str.strip).filter(bool), min_size=count, max_size=count))
        meaning["label"] = [normalize("NFC", label) for label in columns["Label"]]
    if draw(st.booleans()):
        meaning["identity"] = draw(st.lists(st.integers(0, 10**8), min_size=count, max_size=count))
        columns["identity"] = [str(number) for number in meaning["identity"]]
    if draw(st.booleans()):
        columns["age in years"] = [str(20 + row) for row in range(count)]
    order = draw(st.permutations(sorted(columns)))
    path_column = draw(st.sampled_from(["image_id", "File", "filename", "path", "name", "picture"]))
    prefix, slash = draw(st.sampled_from([("", "/"), ("./", "/"), (".\\", "\\"), ("", "\\")]))
    written = [prefix + path.replace("/", slash) for path in paths]
    rows = [[path_column, *order], *([path, *(columns[name][i] for name in order)] for i, path in enumerate(written))]
    file = io.StringIO()
    separator, end = draw(st.sampled_from([",", ";", "\t"])), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    csv.writer(file, delimiter=separator, lineterminator=end, quoting=quoting).writerows(rows)
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    return file.getvalue().encode(encoding), paths, meaning


def read(data):
    return read_custom_attributes(TextFile("the file", data))


@settings(max_examples=100, deadline=None)
@given(tables())
def test_every_form_says_the_same(table):
    data, paths, meaning = table
    read_table, notes = read(data)
    assert read_table.index.tolist() == paths
    assert read_table.index.name == "image_id"
    assert set(read_table.drop(columns=SPECIAL, errors="ignore").dtypes.astype(str)) <= {"int8"}
    assert read_table.to_dict("list") == meaning
    assert ("'age in years'" in " ".join(notes)) == (b"age in years" in data.replace(b"\0", b""))


@settings(max_examples=150, deadline=None)
@given(tables(), st.integers(0, 2**32))
def test_damage_is_refused_or_touches_its_own_row_only(table, seed):
    data, paths, meaning = table
    random_ = random.Random(seed)
    damaged = bytearray(data)
    at = random_.randrange(len(damaged))
    if random_.random() < 0.3:
        del damaged[at:]
    else:
        damaged[at] = random_.choice([random_.randrange(256), *b'\n,;\t"01-'])
    try:
        read_table, _ = read(bytes(damaged))
    except SourceError as error:
        assert_complete(error)
        return
    columns = read_table.to_dict("list")
    row_of = {path: row for row, path in enumerate(paths)}
    for name in columns.keys() & meaning.keys():
        same = [
            columns[name][row] == meaning[name][row_of[path]]
            for row, path in enumerate(read_table.index)
            if path in row_of
        ]
        assert same.count(False) <= 1


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_noise_is_refused_or_read(data):
    try:
        read(data)
    except SourceError as error:
        assert_complete(error)


def assert_complete(error):
    assert str(error).startswith("the file")


def test_a_table_as_people_write_it(caplog):
    table, notes = read_custom_attributes(
        "file, Male , age, split, label, identity, Smiling\n"
        "./a\\b.jpg, 1, 33, train, cat, 7, yes\n"
        '"b//c, d.png",0,44,val,dog,8,no\n'
        '"b/c, d.png",0,44,val,dog,8,no\n'
        "\n"
    )
    assert table.to_dict("index") == {
        "a/b.jpg": {"split": "train", "label": "cat", "Male": 1, "Smiling": 1, "identity": 7},
        "b/c, d.png": {"split": "valid", "label": "dog", "Male": 0, "Smiling": 0, "identity": 8},
    }
    assert table.columns.tolist() == ["split", "label", "Male", "Smiling", "identity"]
    assert str(table["identity"].dtype) == "int32"
    assert ["'age'" in note or "repeat" in note for note in notes] == [True, True]
    assert len(caplog.records) == 2


def test_only_the_columns_of_the_file_are_in_the_table():
    table, notes = read_custom_attributes("path,Male\na.jpg,1\n")
    assert (table.columns.tolist(), notes) == (["Male"], [])


def test_columns_that_are_not_binary_or_are_measured_are_left_out_and_named():
    table, notes = read_custom_attributes(
        "path,age,width,Height,mood,sure,empty,Male\na.jpg,30,1,1,glad,-1,,1\nb.jpg,,0,1,,0,,0\nc.jpg,1,1,1,sad,1,,1\n"
    )
    assert table.columns.tolist() == ["Male"]
    (note,) = notes
    for name in ("age", "width", "Height", "mood", "sure", "empty"):
        assert repr(name) in note


@pytest.mark.parametrize(
    ("header", "first", "index"),
    [
        ("name,file,Male", "Ann,a.jpg,1", "a.jpg"),  # the surest name says which column it is
        ("id,Filename,Male", "17,a.jpg,1", "a.jpg"),
        ("picture,Male", "a.jpg,1", "a.jpg"),
        (",image_id,Male", "0,a.jpg,1", "a.jpg"),  # pandas
        ("Unnamed: 0,path,Male", "0,a.jpg,1", "a.jpg"),
        ("path,Male,,", "a.jpg,1,,", "a.jpg"),  # Excel
        ("path,Male", "a.jpg,1,,", "a.jpg"),
        ("sep=,\npath,Male", "a.jpg,1", "a.jpg"),
    ],
)
def test_the_column_of_paths_is_found(header, first, index):
    table, _ = read_custom_attributes(f"{header}\n{first}\n")
    assert table.to_dict("index") == {index: {"Male": 1}}


IMAGES = ["x/0.png", "x/1.png", "x/28.png", "x/29.png"]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("id,img,Male", "0,29.png,1 1,28.png,0 28,1.png,1 29,0.png,0"),
        ("id,img,Male", "0,x/29.png,1 1,x/28.png,0 28,x/1.png,1 29,x/0.png,0"),
        ("image_id,file_name,Male", "0,29.png,1 1,28.png,0 28,1.png,1 29,0.png,0"),  # as COCO numbers images
        ("name,Male,img", "Ann,1,29.png Ben,0,28.png Cid,1,1.png Dan,0,0.png"),
        ("path,nearest,Male", "29.png,x/0.png,1 28.png,x/0.png,0 1.png,x/0.png,1 0.png,x/1.png,0"),
        ("name,code,Male", "Ann,0029,1 Ben,0028,0 Cid,0001,1 Dan,0000,0"),
        ("file,path,Male", "29.png,x/29.png,1 28.png,x/28.png,0 1.png,x/1.png,1 0.png,x/0.png,0"),
        (",img,Male", "0,29.png,1 1,28.png,0 2,1.png,1 3,0.png,0"),  # pandas
        ("Unnamed: 0,img,Male", "1,29.png,1 2,28.png,0 3,1.png,1 4,0.png,0"),
        ("Unnamed: 0,name,Male", "29.png,Ann,1 28.png,Ben,0 1.png,Cid,1 0.png,Dan,0"),
    ],
)
def test_the_column_with_the_images_names_as_they_are_is_that_of_paths(header, rows):
    table, _ = read_custom_attributes("\n".join([header, *rows.split()]), IMAGES)
    assert [name.removeprefix("x/").removesuffix(".png").lstrip("0") for name in table.index] == ["29", "28", "1", ""]
    assert table["Male"].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("id,code,Male\n0,29,1\n1,28,0\n28,1,1\n29,0,0\n", r"column 1 \('id'\) and column 2 \('code'\)"),
        ("old,new,Male\n0.png,29.png,1\n1.png,28.png,0\n", r"column 1 \('old'\) and column 2 \('new'\)"),
        ("file,Male,image\n0.png,1,29.png\n1.png,0,28.png\n", r"column 1 \('file'\) and column 3 \('image'\)"),
    ],
)
def test_two_columns_that_name_as_many_images_are_refused(text, columns):
    with pytest.raises(SourceError, match=f"{columns} name as many images, but not the same. Call the right one image"):
        read_custom_attributes(text, IMAGES)


def test_a_column_without_a_name_that_may_name_the_images_must_be_named():
    with pytest.raises(SourceError, match=r"column 1 has no name\. Name it .*\(image_id if it names the images\)"):
        read_custom_attributes(",Male\n0.png,1\n1.png,0\n", IMAGES)


def test_blanks_around_the_name_of_an_image_are_kept_if_it_is_called_so():
    table, _ = read_custom_attributes("path,Male\n a.jpg ,1\n b.jpg ,0\n", [" a.jpg ", "a.jpg", "b.jpg"])
    assert table["Male"].to_dict() == {" a.jpg ": 1, "b.jpg": 0}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "an empty file"),
        ("<html>", "a web page"),
        ("path,Male\n", "no rows below a header line"),
        ("path\na.jpg\n", "'path'. It should have a header"),
        ("x/a.JFIF,1\nb.jpg,0\n", "no header line: its first line is 'x/a.JFIF, 1'"),
        ("a.jpg,1\nb.jpg,0\n", "no header line: its first line is 'a.jpg, 1'"),
        ("path,Male\na.jpg,1\nb.jpg,\n", "line 3: '' as 'Male' is an empty cell"),
        ("path,Male,split\na.jpg,1,train\n\nb.jpg,0,\n", "line 4: '' as 'split' is an empty cell"),
        ("path,Male\n,1\n", "line 2: '' as 'path' is an empty cell"),
        ("path,Male\na.jpg,1,0\n", "line 2: 3 cells"),
        ("path,Male\na.jpg\n", "line 2: 1 cells"),
        ('path,Male\n"a.jpg,1\n', "line 2: unexpected end of data"),
        ("path,,Male\na.jpg,1,1\n", "column 2 has no name"),
        ("path,Male,male\na.jpg,1,1\n", "columns called Male and male"),
        ("path,Male, Male \na.jpg,1,1\n", "columns called Male and Male"),
        ("path,Male=yes\na.jpg,1\n", "'Male=yes'"),
        ("path,Male\n/data/a.jpg,1\n", "'/data/a.jpg' as 'path' is"),
        ("path,Male\nC:\\a.jpg,1\n", "path below the folder"),
        ("path,Male\nb/../../a.jpg,1\n", "path below the folder"),
        ("path,Male\n.,1\n", "path below the folder"),
        ("path,Male\na.jpg,1\n./a.jpg,0\n", "line 3: './a.jpg' as 'path' has an earlier row that"),
        ("path,split\na.jpg,train\nb.jpg,holdout\n", "line 3: 'holdout' as 'split' is"),
        ("path,split\na.jpg,train\nb.jpg,1\n", "'train' as 'split' is"),
        ("path,split\na.jpg,1\nb.jpg,2\nc.jpg,3\n", "line 4: '3' as 'split' is"),
        ("path,split\na.jpg,1\nb.jpg,2\n", "0, which is train"),
        ("path,identity\na.jpg,Ann\n", "line 2: 'Ann' as 'identity' is"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, problem):
    with pytest.raises(SourceError) as caught:
        read_custom_attributes(text)
    assert problem in str(caught.value)
    assert str(caught.value).startswith("The text given for attributes.csv")


def test_a_file_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "attributes.csv"
    path.write_bytes("path,Male\nGrüße.jpg,1\n".encode("cp1252"))
    with pytest.raises(SourceError, match=r"not UTF-8 \(byte 12"):
        read_custom_attributes(path)
    path.write_bytes(codecs.BOM_UTF8 + "path;Male\r\nGrüße.jpg;1\r\n".encode())
    assert read_custom_attributes(path)[0].index.tolist() == ["Grüße.jpg"]


def test_a_column_called_as_the_classes_is_refused():
    with pytest.raises(SourceError, match=r"'Class' .*label"):
        read_custom_attributes("file,Class\na.jpg,0\nb.jpg,1\n")


def rows_of(cells):
    return "path,Male,Hat\n" + "".join(f"{number}.jpg,{cell},1\n" for number, cell in enumerate(cells))


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "0", "NA", "0"],
        ["yes", "no", "?", "nan", "no", "no"],
        ["1", "0", "1", "maybe"],
        ["-1", "1"] * 100 + ["11"],
        ["1", "0", "Male"],  # a second header of other columns
    ],
)
def test_a_stray_cell_does_not_drop_its_attribute_but_is_named(cells):
    odd = next(place for place, cell in enumerate(cells) if cell not in ("0", "1", "-1", "yes", "no"))
    with pytest.raises(SourceError) as caught:
        read_custom_attributes(rows_of(cells))
    assert f"line {odd + 2}: {cells[odd]!r} as 'Male' is neither" in str(caught.value)
    assert "correct it, or remove the row or the column" in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "odd"),
    [
        (["1", "2", "0", "1"], "line 3 has '2'"),  # a count
        (["-1", "0", "1", "1"], "line 2 has '-1'"),
        (["NA", "1", "NA", "NA"], "line 2 has 'NA'"),
        (["glad", "sad", "1"], "line 2 has 'glad'"),
    ],
)
def test_a_column_of_something_else_is_left_out_with_its_first_odd_cell(cells, odd):
    table, (note,) = read_custom_attributes(rows_of(cells))
    assert table.columns.tolist() == ["Hat"]
    assert f"'Male' ({odd}" in note


def test_a_repeated_header_is_recognised():
    text = "path,Male,label\na.jpg,1,x\npath,Male,label\nb.jpg,0,y\n"
    table, notes = read_custom_attributes(text)
    assert table.to_dict("list") == {"label": ["x", "y"], "Male": [1, 0]}
    assert notes == ["ignoring 1 repeated header, first in line 3."]
    with pytest.raises(SourceError, match="line 3: a header with the columns in another order"):
        read_custom_attributes("path,Male,label\na.jpg,1,x\npath,label,Male\nb.jpg,y,0\n")
    with pytest.raises(SourceError, match="no rows below its header line"):
        read_custom_attributes("path,Male\npath,Male\n")
