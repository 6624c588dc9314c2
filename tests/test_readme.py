import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
LINKS = re.findall(r"\]\(([^)#]+)\)", (REPOSITORY / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("link", [link for link in LINKS if "://" not in link])
def test_what_the_readme_links_to_is_there(link: str) -> None:
    assert (REPOSITORY / link).is_file()
