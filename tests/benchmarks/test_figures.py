"""The figures of the documents: drawn anew they are those that are there."""

import sys

import numpy as np
import pytest
import pywt
import torch
from PIL import Image
from torch.nn import functional as F

from benchmarks import figures


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp('figures')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['figures', '--out', str(folder)])
        figures.main()
    return folder


@pytest.mark.parametrize('name', figures.FIGURES)
def test_the_committed_file_is_what_the_command_draws(drawn, name):
    """But for the text's pixels, which are another release's of matplotlib."""
    old, new = (Image.open(folder / name).convert('RGB') for folder in (figures.IMAGES, drawn))
    assert old.size == new.size
    old, new = (np.asarray(picture.reduce(10), dtype=float) for picture in (old, new))
    assert new.std() > 20
    assert abs(old - new).mean() < 3
    assert (figures.IMAGES / name).stat().st_size < 200_000


def test_nested_squares_are_those_of_pywavelets():
    image = figures.photograph()
    squares, _ = figures.nested_squares(image)
    corner = figures.SIDE // 2**figures.DEPTH
    averages = F.avg_pool2d(image, 2**figures.DEPTH)[0]
    torch.testing.assert_close(squares[:, :corner, :corner], averages)
    _, details = pywt.wavedec2(image[0].numpy(), 'haar', level=1)
    half = figures.SIDE // 2
    for rows, columns, name in ((1, 0, 0), (0, 1, 1), (1, 1, 2)):
        square = squares[:, rows * half :, columns * half :][:, :half, :half] - 0.5
        ratio = square / torch.from_numpy(details[name])
        assert ratio.nanmedian() > 0
        torch.testing.assert_close(square, torch.from_numpy(details[name]) * ratio.nanmedian())


@pytest.mark.parametrize(
    ('name', 'stages', 'decoded'),
    [
        ('ViT-B/16', [12], [3, 6, 9, 12]),
        ('Swin-T', [2, 2, 6, 2], [2, 4, 10, 12]),
    ],
)
def test_blocks_are_those_of_the_readme(name, stages, decoded, root):
    found, ends = figures.blocks(figures.models()[name])
    assert [len(stage) for stage in found] == stages
    assert ends == decoded
    assert f'| {", ".join(map(str, decoded))} |' in (root / 'README.md').read_text()
