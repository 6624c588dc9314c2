import hashlib

import pytest

from celeba_gan.sources.official import OFFICIAL_FILES, OfficialFile, md5_of, verdict
from celeba_gan.sources.tables.attribute_names import ATTRIBUTES, PUBLISHED_RATES


def test_a_copy_is_known_by_its_md5(tmp_path, monkeypatch):
    path = tmp_path / "list_eval_partition.txt"
    path.write_bytes(b"000001.jpg 0\r\n" * 1000)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    assert md5_of(path) == md5
    official = "d32c9cbf5e040fd4025c592c306e6668"
    assert verdict(path) == f"not the official file (its md5 is {md5}, the official one's {official})"
    # CelebA's own bytes may not be kept here: another file takes the official one's place
    monkeypatch.setitem(OFFICIAL_FILES, path.name, OfficialFile(path.name, md5, ""))
    assert verdict(path) == "official (md5 verified)"


@pytest.mark.parametrize("name", ["list_attr_celeba.csv", "notes.txt"])
def test_files_of_other_names_are_not_read(tmp_path, name):
    assert verdict(tmp_path / name) == "no official file of this name"


def test_the_attributes_are_celebas_and_their_rates_plausible():
    assert (len(ATTRIBUTES), ATTRIBUTES[0], ATTRIBUTES[20], ATTRIBUTES[-1]) == (40, "5_o_Clock_Shadow", "Male", "Young")
    assert sorted(ATTRIBUTES) == list(ATTRIBUTES)
    assert all(0.02 < rate < 0.84 for rate in PUBLISHED_RATES.values())
    positive = 1_830_204  # labels in all
    assert sum(PUBLISHED_RATES.values()) == pytest.approx(positive / 202_599, abs=40 * 0.00005)
