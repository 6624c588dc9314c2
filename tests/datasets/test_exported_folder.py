import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from celeba_gan.datasets.folders import ExportedFolderDataset

CARD = """---
license: mit
---

# {colour}

![Samples](samples.png)

One paragraph
in two lines.

| A | B |
|---|---:|
| a_1 | `b_2\\|` |
| | 3 |

| | |
|---|---|
| x | y |

- an item
  that goes on

```python
a_1 = __b__ * c_2 * 3

b = 2
```

    a command of celeba_gan and torch_program
"""
PREVIEW = """# {colour}

<img alt="Samples" src="data">

One paragraph in two lines.

<table><thead><tr><th>A</th><th>B</th></tr></thead><tbody><tr><td>a_1</td><td>`b_2|`</td></tr><tr><td></td><td>3</td></tr></tbody></table>

<table><tbody><tr><td>x</td><td>y</td></tr></tbody></table>

- an item that goes on

```python
a_1 = __b__ * c_2 * 3

b = 2
```

    a command of celeba_gan and torch_program
"""
# What kedro-viz replaces, as its JavaScript has it; there `.` is none of four line ends.
EMPHASIS = re.compile("([*_])[^\n\r\u2028\u2029]*?\\1")
PARAGRAPHS = re.compile("\n\\s*\n")


def folder(path: Path, colour: str) -> SimpleNamespace:
    (path / "web").mkdir(parents=True)
    (path / "web" / "colour.txt").write_text(colour)
    (path / "README.md").write_text(CARD.format(colour=colour))
    Image.new("RGB", (6, 4), colour).save(path / "samples.png")
    return SimpleNamespace(path=path)


def test_a_folder_is_replaced_whole_and_previewed_by_its_card(tmp_path: Path) -> None:
    dataset = ExportedFolderDataset(str(tmp_path / "deep" / "export"))
    assert not dataset.exists()
    for colour in ("red", "blue"):
        given = folder(tmp_path / colour, colour)
        (given.path / f"{colour}.txt").write_text("")
        dataset.save(given)
        assert dataset.exists()
        assert (dataset.load() / "web" / "colour.txt").read_text() == colour
        found = re.search(r'data:image/png;base64,([^"]+)', dataset.preview())
        assert found is not None
        preview = dataset.preview().replace(found[0], "data")
        assert preview.replace('<i class="-\u2028-"></i>', "") == PREVIEW.format(colour=colour)  # no other letters
        trimmed = re.sub('class="([^"]*)"', lambda found: f'class="{found[1].strip()}"', preview)  # by its DOMPurify
        assert EMPHASIS.search(trimmed) is None
        code = preview.split("```")[1]
        assert PARAGRAPHS.search(code) is None
        with Image.open(BytesIO(b64decode(found[1]))) as image:
            assert image.getpixel((0, 0)) == {"red": (255, 0, 0), "blue": (0, 0, 255)}[colour]
    assert sorted(path.name for path in dataset.load().iterdir()) == ["README.md", "blue.txt", "samples.png", "web"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["export"]


def test_a_save_that_fails_leaves_the_former_folder(tmp_path: Path) -> None:
    dataset = ExportedFolderDataset(str(tmp_path / "export"))
    dataset.save(folder(tmp_path / "red", "red"))
    with pytest.raises(FileNotFoundError):
        dataset.save(SimpleNamespace(path=tmp_path / "nowhere"))
    assert (dataset.load() / "web" / "colour.txt").read_text() == "red"


def test_what_was_killed_between_two_renames_is_there_again(tmp_path: Path) -> None:
    dataset = ExportedFolderDataset(str(tmp_path / "export"))
    dataset.save(folder(tmp_path / "red", "red"))
    (tmp_path / "export").rename(tmp_path / ".export.former")
    assert dataset.exists()
    assert (dataset.load() / "web" / "colour.txt").read_text() == "red"
