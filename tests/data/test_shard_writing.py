"""Shards hold what the folder holds, whatever stops the writing."""

import os
import tarfile
from pathlib import Path

import pytest

from wamim_mm.data import shard_writing
from wamim_mm.data.shard_index import INDEX, UNFINISHED, shard_names
from wamim_mm.data.shard_writing import PARTIAL, PLAN, _write_shard, write_shards
from wamim_mm.data.shards import ShardDataset
from wamim_mm.image_files import is_shards

COUNT = 40


@pytest.fixture
def images(tmp_path):
    root = tmp_path / 'images'
    for i in range(COUNT):
        path = root / str(i % 4) / f'ü {i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(100 * i))
    return root


def names(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob('*.png'))


def write(images, out, **options):
    found = write_shards(images, names(images), out, threads=2, shard_bytes=20_000, **options)
    return sorted(found)


def content(out):
    """By Python's own module."""
    found = {}
    for shard in sorted(out.glob('*.tar')):
        with tarfile.open(shard) as tar:
            for member in tar:
                found[member.name] = tar.extractfile(member).read()
    return found


def test_all_images_then_go_on_then_other_images(images, tmp_path):
    out = tmp_path / 'out'
    done = write(images, out)
    assert content(out) == {name: (images / name).read_bytes() for name in names(images)}
    assert sum(written.images for written in done) == COUNT and len(done) > 2
    assert all(written.new for written in done)
    assert (out / PLAN).is_file() and is_shards(out) and len(ShardDataset(str(out))) == COUNT
    # In random order: no shard is one class.
    assert all(len({name.partition('/')[0] for name in members(out, 0)}) > 1 for _ in done[:-1])

    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / '000001.tar').unlink()
    (out / '000002.tar').rename(out / f'000002.tar{PARTIAL}')
    (out / PLAN).rename(out / UNFINISHED)
    with pytest.raises(ValueError, match='not all written: wamim shards'):
        shard_names(str(out))
    again = write(images, out)
    assert [written.new for written in again] == [
        written.shard.name in ('000001.tar', '000002.tar') for written in again
    ]
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}

    # One that was cut off, and one that lacked an image, are written again.
    with open(out / '000001.tar', 'r+b') as file:
        file.truncate(3000)
    _write_shard(images, members(out, 2)[1:], tmp_path / 'x.tar')
    (tmp_path / 'x.tar').rename(out / '000002.tar')
    again = write(images, out)
    assert [written.shard.name for written in again if written.new] == ['000001.tar', '000002.tar']
    assert len(content(out)) == COUNT

    (images / '0' / 'new.png').write_bytes(b'1')
    with pytest.raises(ValueError, match=r'has shards of 40 images .* now has 41'):
        next(write_shards(images, names(images), out, 1, shard_bytes=20_000))


def test_images_that_have_changed_since(images, tmp_path):
    """Also where their size is the same, and somebody has set back their time."""
    out = tmp_path / 'out'
    write(images, out)
    name = members(out, 1)[0]
    old = (images / name).stat()
    (images / name).write_bytes(os.urandom(old.st_size))
    os.utime(images / name, ns=(old.st_atime_ns, old.st_mtime_ns))
    again = write(images, out)
    assert [written.shard.name for written in again if written.new] == ['000001.tar']
    assert content(out) == {name: (images / name).read_bytes() for name in names(images)}
    assert not any(written.new for written in write(images, out))


def test_an_image_that_changes_while_its_shard_is_written(images, tmp_path, monkeypatch):
    check = shard_writing._check

    def change(partial, sums):
        (images / '1' / 'ü 5.png').write_bytes(os.urandom(500))
        check(partial, sums)

    monkeypatch.setattr(shard_writing, '_check', change)
    shard = tmp_path / '0.tar'
    _write_shard(images, ['1/ü 5.png'], shard)
    monkeypatch.undo()
    assert _write_shard(images, ['1/ü 5.png'], shard).new
    assert not _write_shard(images, ['1/ü 5.png'], shard).new


def members(out, number):
    with tarfile.open(out / f'{number:06}.tar') as tar:
        return tar.getnames()


def test_not_into_shards_of_others(images, tmp_path):
    (tmp_path / 'x.tar').touch()
    with pytest.raises(ValueError, match='somebody else'):
        next(write_shards(images, names(images), tmp_path, 1))
    assert not (tmp_path / UNFINISHED).exists()


def test_image_that_is_gone(images, tmp_path):
    written = _write_shard(images, ['0/ü 0.png', '0/none.png'], tmp_path / '0.tar')
    assert written.images == 1 and written.skipped == ['0/none.png: No such file or directory']


def test_storage_that_fails(images, tmp_path, monkeypatch):
    """Images are not passed over for it."""

    def fail(path):
        raise OSError(116, 'Stale file handle')

    monkeypatch.setattr(Path, 'read_bytes', fail)
    with pytest.raises(OSError, match='Stale file handle'):
        _write_shard(images, ['0/ü 4.png'], tmp_path / '0.tar')
    assert not list(tmp_path.glob('0.tar*'))


def test_two_writers(images, tmp_path):
    first = write_shards(images, names(images), tmp_path / 'out', 1, shard_bytes=20_000)
    next(first)
    with pytest.raises(ValueError, match='another wamim shards writes to'):
        next(write_shards(images, names(images), tmp_path / 'out', 1, shard_bytes=20_000))
    first.close()


@pytest.mark.parametrize('where', ['body', 'header', 'end'])
def test_disk_that_keeps_something_else(images, tmp_path, monkeypatch, where):
    """What is read back is compared; a shard that differs is not there."""
    shard = tmp_path / '0.tar'

    def damage(descriptor):
        path = Path(f'/proc/self/fd/{descriptor}').resolve()
        if not path.name.endswith(PARTIAL):
            return  # its index
        with open(path, 'r+b') as file:
            if where == 'end':
                file.truncate(1600)
                return
            file.seek(512 + 7 if where == 'body' else 3)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))

    monkeypatch.setattr(shard_writing.os, 'fsync', damage)
    with pytest.raises(ValueError, match='what was read back is not what was written'):
        _write_shard(images, ['0/ü 4.png', '0/ü 8.png'], shard)
    assert not list(tmp_path.glob('0.tar*'))


def test_full_disk(images, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(shard_writing.os, 'fsync', full)
    with pytest.raises(OSError, match='No space left'):
        _write_shard(images, ['0/ü 4.png'], tmp_path / '0.tar')
    assert not list(tmp_path.glob('0.tar*'))


def test_index_is_beside_the_shard(images, tmp_path):
    _write_shard(images, names(images), tmp_path / '0.tar')
    assert sorted(path.name for path in tmp_path.glob('0.*')) == ['0.tar', f'0.tar{INDEX}']
