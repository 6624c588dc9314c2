import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
LANGUAGES = ("README.md", "README.zh.md")
TEXTS = {name: (REPOSITORY / name).read_text(encoding="utf-8") for name in LANGUAGES}
LINKS = [(name, link) for name, text in TEXTS.items() for link in re.findall(r"\]\(([^)#]+)", text)]


@pytest.mark.parametrize(("name", "link"), [one for one in LINKS if "://" not in one[1]])
def test_what_a_readme_links_to_is_there(name: str, link: str) -> None:
    assert (REPOSITORY / link).is_file()


@pytest.mark.parametrize("name", LANGUAGES)
def test_it_can_be_read_in_a_few_minutes(name: str) -> None:
    assert TEXTS[name].count("\n") <= 150


def outline(text: str) -> list[str]:
    """The levels of its headings, the rows and columns of its tables."""
    return [
        line.split(" ")[0] if line.startswith("#") else str(line.count("|"))
        for line in re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines()
        if re.match(r"#+ |\|", line)
    ]


def test_both_languages_say_the_same() -> None:
    """The same commands, links, pictures, figures, headings and tables; words differ."""
    english, chinese = TEXTS.values()
    assert outline(english) == outline(chinese)
    for pattern in (r"```.*?```", r"^    \S.*?$", r"`[^`\n]+`", r"\]\(([^)]+)\)", r"\d+(?:[.,]\d+)+"):
        found = [sorted(re.findall(pattern, text, re.DOTALL | re.MULTILINE)) for text in (english, chinese)]
        assert found[0] == found[1], pattern
