"""Several ranks pack the same bytes as one process."""

import os
from pathlib import Path

import pytest
from photograph_folder import encode, make_source, photograph
from rank_packing import pack

from celeba_gan.images.packed import PackedImages
from ranks_here import run_ranks

PROGRAM = str(Path(__file__).with_name("rank_packing.py"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("world", "shard_images", "kept"),
    [
        (2, 10, 0),
        pytest.param(3, 10, 0, marks=pytest.mark.slow),
        pytest.param(2, 50, 0, marks=pytest.mark.slow),
        pytest.param(3, 200, 0, marks=pytest.mark.slow),  # one shard, of which a rank has all
        pytest.param(3, 10, 4, marks=pytest.mark.slow),  # an interrupted packing is continued
        pytest.param(4, 7, 11, marks=pytest.mark.slow),
    ],
)
def test_the_files_of_several_ranks_are_those_of_one_process(
    world: int, shard_images: int, kept: int, tmp_path: Path
) -> None:
    photographs, one, many = (tmp_path / name for name in ("photographs", "one", "many"))
    photographs.mkdir()
    # Damaged ones and copies, also where the ranges of two ranks meet, and at both ends.
    damaged = {f"at_{number}": b"no image" for number in (0, 42, 43, 44, 129)}
    copies = {f"at_{number}": encode(photograph(3)) for number in (3, 41, 86, 88, 128)}
    _, index = make_source(photographs, 130, **damaged, **copies)
    index.to_parquet(photographs / "index.parquet")
    written = pack(photographs, one, shard_images)
    manifest = PackedImages(one).manifest
    assert manifest.unreadable
    assert manifest.leaks
    if kept:
        pack(photographs, many, shard_images, most=kept)
    done = run_ranks([[PROGRAM, str(photographs), str(many), str(shard_images)]] * world)
    assert [one.returncode for one in done] == [0] * world, done
    shares = [int(one.stdout.split()[-1]) for one in done]
    assert sum(shares) == written - kept
    if shard_images == 10:
        assert min(shares) > 0
    assert contents(many) == contents(one)


@pytest.mark.slow
@pytest.mark.parametrize("differing", ["photographs", "folder"])
def test_ranks_with_other_photographs_or_folders_pack_nothing_for_good(differing: str, tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("first", "second")]
    for place in places:
        _, index = make_source(place, 60)
        index.to_parquet(place / "index.parquet")
        for image in place.glob("*.jpg"):
            os.utime(image, (1, 1))
    if differing == "photographs":
        os.utime(places[1] / "000007.jpg", (2, 2))
    packed = [tmp_path / "packed"] * 2 if differing == "photographs" else [tmp_path / "one", tmp_path / "two"]
    if differing == "folder":  # each with all shards of another packing
        for folder in packed:
            (photographs := tmp_path / f"before-{folder.name}").mkdir()
            _, index = make_source(photographs, 60, at_50=encode(photograph(1000)))
            index.to_parquet(photographs / "index.parquet")
            pack(photographs, folder, 10)
    leader, _ = run_ranks(
        [[PROGRAM, str(place), str(folder), "10"] for place, folder in zip(places, packed, strict=True)]
    )
    assert leader.returncode == 1
    expected = "photographs: " if differing == "photographs" else "is not the shard that was packed"
    assert expected in leader.stdout
    assert not (packed[0] / "manifest.json").exists()
