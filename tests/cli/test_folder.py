"""The look at a folder of images before a run."""

import pytest
from PIL import Image

from wamim_mm.cli.folder import look


def make(path, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size).save(path)


def test_sizes_and_files_that_cannot_be_opened(tmp_path):
    for i in range(3):
        make(tmp_path / 'sub' / f'{i}.png')
    make(tmp_path / 'large.jpg', (400, 300))
    (tmp_path / 'bad.jpg').write_bytes(b'no image')
    (tmp_path / 'notes.txt').write_text('no image either')
    found = look(tmp_path)
    assert (found.images, found.short_side) == (5, 30)
    assert found.lines() == [
        '5 images, 40 x 30 to 400 x 300, median 40 x 30 pixels',
        '1 cannot be opened (bad.jpg): skipped',
    ]


def test_images_of_one_size(tmp_path):
    make(tmp_path / 'a.png')
    assert look(tmp_path).lines() == ['1 images, median 40 x 30 pixels']


def test_of_many_some_are_looked_at(tmp_path):
    for i in range(9):
        make(tmp_path / f'{i}.png')
    found = look(tmp_path, sampled=4)
    assert (found.images, found.looked_at) == (9, 4)
    assert found.lines()[0].startswith('9 images (4 looked at), ')


def test_nothing_to_train_on(tmp_path):
    with pytest.raises(FileNotFoundError, match='no image at'):
        look(tmp_path)
    (tmp_path / 'a.jpg').touch()
    with pytest.raises(ValueError, match=r'none of the 1 files in .* a\.jpg for one'):
        look(tmp_path)


def test_large_images_are_ordinary_ones(tmp_path, monkeypatch, recwarn):
    """Pillow warns of more pixels than it likes, and refuses twice as many."""
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 40 * 30 - 1)
    make(tmp_path / 'a.png')
    assert look(tmp_path).sizes == [(40, 30)] and not recwarn.list
