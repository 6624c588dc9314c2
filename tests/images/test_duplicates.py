from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from celeba_gan.images.duplicates import DIGEST, HeldOut, duplicate_groups, pixel_digest

# few different files, so that many are equal; digests of zeros and with zeros at the end are digests, too
FILES = [
    b"\x01" * 16,
    b"a" * 15 + b"\0",
    b"a" * 14 + b"\0b",
    *(pixel_digest(np.full((2, 2, 3), number, np.uint8)) for number in range(5)),
]
FILES_OR_NONE = st.lists(st.sampled_from([b"", *FILES]), max_size=40)


def test_a_digest_is_of_all_pixels():
    images = np.zeros((4, 8, 8, 3), np.uint8)
    images[1, 0, 0, 0] = images[2, 7, 7, 2] = 1
    assert len({pixel_digest(image) for image in images}) == 3
    assert pixel_digest(images[0]) == pixel_digest(images[3])
    assert pixel_digest(images[:, 0, 0]) == pixel_digest(images[:, 0, 0].copy())  # not contiguous
    assert len(pixel_digest(images[0])) == DIGEST.itemsize


@given(files=FILES_OR_NONE)
def test_groups_equal_brute_force(files):
    image_ids = [f"{(7 * number) % 101:03d}.jpg" for number in range(len(files))]
    by_file = defaultdict(list)
    for image_id, data in zip(image_ids, files, strict=True):
        if data:
            by_file[data].append(image_id)
    expected = sorted(sorted(group) for group in by_file.values() if len(group) > 1)
    assert duplicate_groups(image_ids, np.array(files, DIGEST)) == expected


@given(held_out=FILES_OR_NONE, files=FILES_OR_NONE)
def test_held_out_files_equal_brute_force(held_out, files):
    expected = {number: held_out.index(data) for number, data in enumerate(files) if data and data in held_out}
    assert HeldOut(np.array(held_out, DIGEST)).find(np.array(files, DIGEST)) == expected
