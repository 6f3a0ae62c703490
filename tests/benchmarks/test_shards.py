"""The benchmark of tar shards runs, and counts what it reads."""

import numpy as np
import pytest
from PIL import Image

from benchmarks.shards import compare, one_pass


def test_it_runs(tmp_path):
    for i in range(4):
        image = np.random.default_rng(i).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        (tmp_path / 'images').mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / 'images' / f'{i}.jpg')
    found = compare(tmp_path / 'images', tmp_path, rounds=1)
    assert set(found) == {
        f'{what}, {state}' for what in ('bytes', 'cropped to 224') for state in ('warm', 'cold')
    }
    assert {'files', 'shards'} <= set(found['bytes, cold']['images_per_second'])


def test_images_that_are_left_out_are_noticed():
    assert one_pass(lambda: [b'', b''], 2, len, None) > 0
    with pytest.raises(RuntimeError, match='2 images of 3'):
        one_pass(lambda: [b'', b''], 3, len, None)
