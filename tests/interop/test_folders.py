"""Folders with links that lead up, to themselves or nowhere."""

import os

import pytest
from mmengine.fileio import list_dir_or_file


def fill(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def listed(root, **options):
    return sorted(list_dir_or_file(root, list_dir=False, recursive=True, **options))


def test_as_mmengine_lists_a_folder_without_links(tmp_path):
    """Held against its own method; and both with a suffix, and without subfolders."""
    fill(tmp_path, 'b.jpg', 'a.JPG', 'x/c.jpg', 'x/y/d.png', '.hidden.jpg', '.folder/e.jpg')
    (tmp_path / 'z.jpg').mkdir()
    from mmengine.fileio import LocalBackend

    original = LocalBackend.list_dir_or_file.__wrapped__
    for options in (dict(), dict(suffix='.jpg'), dict(suffix=('.JPG', '.png'))):
        theirs = original(LocalBackend(), tmp_path, list_dir=False, recursive=True, **options)
        assert listed(tmp_path, **options) == sorted(theirs) != []
    assert sorted(list_dir_or_file(tmp_path)) == ['.folder', 'a.JPG', 'b.jpg', 'x', 'z.jpg']
    with pytest.raises(TypeError, match='suffix'):
        listed(tmp_path, suffix=3)


def test_links(tmp_path):
    fill(tmp_path, 'x/a.jpg', 'b.jpg')
    fill(tmp_path.parent / f'{tmp_path.name}_elsewhere', 'c.jpg')
    for name, target in {
        'x/up': '..',
        'self.jpg': 'self.jpg',
        'broken.jpg': 'nowhere',
        'y': f'../{tmp_path.name}_elsewhere',
        'z': f'../{tmp_path.name}_elsewhere',
        'link.jpg': 'b.jpg',
    }.items():
        os.symlink(target, tmp_path / name)
    assert listed(tmp_path) == ['b.jpg', 'link.jpg', 'x/a.jpg', 'y/c.jpg']


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    """As the ``lost+found`` of a disk; root reads all of them."""
    fill(tmp_path, 'a.jpg', 'lost+found/b.jpg')
    scan = os.scandir

    def closed(folder):
        if str(folder).endswith('lost+found'):
            raise PermissionError(13, 'Permission denied', str(folder))
        return scan(folder)

    monkeypatch.setattr(os, 'scandir', closed)
    with pytest.raises(PermissionError, match=f"move it out of {tmp_path}: '.*lost.found'"):
        listed(tmp_path)
