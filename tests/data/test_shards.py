"""Images in tar shards are those of the folder that the shards are made of."""

import gzip
import io
import multiprocessing
import os
import pickle
import shutil
import tarfile
import threading
import time
import zipfile
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import fsspec
import numpy as np
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from mmengine import fileio
from mmengine.config import ConfigDict
from mmengine.runner import Runner
from PIL import Image

from wamim_mm.cli.checks import find_images, image_names, use_shards
from wamim_mm.data import shard_index, storage
from wamim_mm.data import shards as data_shards
from wamim_mm.data.bad_files import BadFiles, BadImage
from wamim_mm.data.loading import LoadImage
from wamim_mm.data.seeding import seed_draws
from wamim_mm.data.shard_index import (
    INDEX,
    index_shard,
    shard_names,
    shard_uris,
    some_uris,
)
from wamim_mm.data.shards import ShardDataset, check_shards
from wamim_mm.image_files import is_shards

COUNT, SHARDS = 30, 3
PIPELINE = [
    dict(type='LoadRandomResizedCrop', scale=16),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Where indexes go that cannot lie beside their shards."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    storage._open_local.cache_clear()
    return tmp_path / 'cache'


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """A folder of two classes."""
    root = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        path = root / 'ab'[i % 2] / f'{i:02}.png'
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    return root


def pack(root, out, shards=SHARDS, format=tarfile.PAX_FORMAT):
    """The images in the order of a folder's listing, by Python's own shard_index."""
    out.mkdir(exist_ok=True)
    paths = sorted(root.rglob('*.png'))
    each = -(-len(paths) // shards)
    for number in range(shards):
        with tarfile.open(out / f'{number:03}.tar', 'w', format=format) as tar:
            for path in paths[number * each : (number + 1) * each]:
                tar.add(path, arcname=str(path.relative_to(root)))
    return out


@pytest.fixture
def packed(images, tmp_path):
    return pack(images, tmp_path / 'shards')


def batches(dataset, seed=3, workers=0, start=0, bad_files=None):
    """The batches of the second epoch."""
    cfg = ConfigDict(
        dataset=dict(dataset, pipeline=PIPELINE),
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        batch_size=5,
        num_workers=workers,
    )
    seed_draws(cfg, seed, bad_files)
    loader = Runner.build_dataloader(cfg)
    loader.sampler.set_epoch(1)
    loader.sampler.start = start
    return [(batch['inputs'], batch['data_samples']) for batch in loader]


def equal(one, other):
    return len(one) == len(other) > 0 and all(
        torch.equal(a, b) for (a, _), (b, _) in zip(one, other, strict=True)
    )


@pytest.mark.parametrize('workers', [0, 2])
def test_as_the_folder_is_read(images, packed, workers):
    """The same samples in the same order, crops and flips included, and once an epoch each."""
    folder = dict(type='CustomDataset', data_root=str(images), with_label=False)
    expected = batches(folder)
    shards = dict(type='ShardDataset', shards=str(packed / '{000..002}.tar'))
    found = batches(shards, workers=workers)
    assert equal(found, expected)
    names = [sample.img_path for _, samples in found for sample in samples]
    assert len(set(names)) == COUNT
    # From inside the epoch on.
    assert equal(batches(shards, workers=workers, start=10), expected[2:])


def test_labels_by_folder(images, packed):
    folder = batches(dict(type='CustomDataset', data_root=str(images)))
    shards = batches(dict(type='ShardDataset', shards=str(packed), with_label=True))
    labels = [[int(s.gt_label) for _, b in found for s in b] for found in (folder, shards)]
    assert labels[0] == labels[1] and set(labels[0]) == {0, 1}
    dataset = ShardDataset(str(packed), with_label=True)
    assert dataset.metainfo['classes'] == ('a', 'b')
    assert dataset.get_cat_ids(7) == [dataset.get_gt_labels()[7]]


def add(tar, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def test_labels_beside_the_images(tmp_path, images):
    """As WebDataset stores ImageNet."""
    data = next(images.rglob('*.png')).read_bytes()
    with tarfile.open(tmp_path / '0.tar', 'w') as tar:
        for i, label in enumerate([2, 0, 1, 2]):
            add(tar, f'{i:04}.png', data)
            add(tar, f'{i:04}.cls', f'{label}\n'.encode())
            add(tar, f'{i:04}.json', b'{}')
    dataset = ShardDataset(str(tmp_path / '0.tar'), with_label=True)
    assert dataset.get_gt_labels().tolist() == [2, 0, 1, 2]
    assert dataset.metainfo['classes'] == ('0', '1', '2')
    with tarfile.open(tmp_path / '1.tar', 'w') as tar:
        add(tar, 'x.png', data)
    with pytest.raises(ValueError, match=r'1 images .* have no \.cls'):
        ShardDataset(str(tmp_path / '{0,1}.tar'), with_label=True)
    with pytest.raises(ValueError, match='have no labels'):
        ShardDataset(str(tmp_path / '1.tar'), with_label=True)


LONG = 'a/' + 'b' * 120 + '/' + 'c' * 90 + '.png'


@pytest.mark.parametrize('format', [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_any_member(tmp_path, format):
    """Names that are long or of other alphabets; what is no image is passed over."""
    names = [LONG, 'ü/Bild 1.JPG', 'x::y#1+2://z.png', './d/4.jpeg', 'empty.png']
    with tarfile.open(tmp_path / '0.tar', 'w', format=format) as tar:
        for i, name in enumerate(names):
            add(tar, name, b'' if name == 'empty.png' else bytes([i]) * (700 * i + 1))
            add(tar, f'{i}.txt', b'none')
        for name, kind in (('link.png', tarfile.SYMTYPE), ('dir.png', tarfile.DIRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, 'empty.png'
            tar.addfile(member)
        add(tar, 'd/._4.jpeg', b'of macOS')
    index = index_shard(str(tmp_path / '0.tar'))
    assert [record['name'].decode() for record in index.records] == [
        name.removeprefix('./') for name in (*names, 'link.png')
    ]
    assert index.fault is None
    with tarfile.open(tmp_path / '0.tar') as tar:
        for place, name in enumerate(names):
            assert fileio.get(index.uri(place)) == tar.extractfile(name).read()


def test_links(tmp_path, images):
    """GNU tar writes the second name of a file as a link."""
    folder = tmp_path / 'set'
    (folder / 'b').mkdir(parents=True)
    for i, name in enumerate(('b/first.png', 'z.png')):
        shutil.copy(sorted(images.rglob('*.png'))[i], folder / name)
    (folder / 'b' / 'hard.png').hardlink_to(folder / 'b' / 'first.png')
    (folder / 'b' / 'near.png').symlink_to('first.png')
    (folder / 'b' / 'ahead.png').symlink_to('../z.png')  # which comes later
    (folder / 'chain.png').symlink_to('b/near.png')
    names = ('b/first.png', 'b/hard.png', 'b/near.png', 'b/ahead.png', 'chain.png', 'z.png')
    with tarfile.open(tmp_path / '0.tar', 'w') as tar:
        for name in names:
            tar.add(folder / name, arcname=f'./{name}')
    index = index_shard(str(tmp_path / '0.tar'))
    assert index.fault is None and index.count == len(names)
    for place, record in enumerate(index.records):
        name = record['name'].decode()
        assert fileio.get(index.uri(place)) == (folder / name).read_bytes()

    (folder / 'lost.png').symlink_to('none.png')
    (folder / 'circle.png').symlink_to('circle.png')
    with tarfile.open(tmp_path / '1.tar', 'w') as tar:
        for name in ('z.png', 'lost.png', 'circle.png'):
            tar.add(folder / name, arcname=name)
    index = index_shard(str(tmp_path / '1.tar'))
    assert index.count == 1
    assert str(index.fault).endswith('has 2 links to what is no image in it')


def test_names_of_shards(tmp_path):
    for name in ('000', '001', '010'):
        (tmp_path / f'{name}.tar').touch()
    braces = shard_names(str(tmp_path / '{009..011}.tar'))
    assert [Path(name).name for name in braces] == ['009.tar', '010.tar', '011.tar']
    assert [Path(name).name for name in shard_names(str(tmp_path))] == [
        '000.tar',
        '001.tar',
        '010.tar',
    ]
    assert shard_names(str(tmp_path / '01*.tar')) == [str(tmp_path / '010.tar')]
    assert shard_names('https://host/{a,b}/{0..1}.tar') == [
        f'https://host/{folder}/{number}.tar' for folder in 'ab' for number in (0, 1)
    ]
    assert shard_names(str(tmp_path / '0[01]?.tar')) == sorted(map(str, tmp_path.glob('*.tar')))
    with pytest.raises(FileNotFoundError, match=r"'DIR/\{000\.\.999\}\.tar'"):
        shard_names(str(tmp_path / 'x*.tar'))
    with pytest.raises(ValueError, match=r"brace is not closed .*'DIR/\{000\.\.999\}\.tar'"):
        shard_names(str(tmp_path / '{000..001.tar'))
    # No patterns: a file that is there, and what an address says after its path.
    (tmp_path / '[1].tar').touch()
    assert shard_names(str(tmp_path / '[{1,1}].tar')) == [str(tmp_path / '[1].tar')] * 2
    assert shard_names('https://host/0.tar?key=[1]') == ['https://host/0.tar?key=[1]']


def test_compressed_shards_are_named_as_such(packed, tmp_path):
    folder = tmp_path / 'compressed'
    folder.mkdir()
    (folder / '000.tar.gz').write_bytes(gzip.compress((packed / '000.tar').read_bytes()))
    for data in (folder, folder / '000.tar.gz'):
        assert is_shards(data)
        with pytest.raises(FileNotFoundError, match=r'it is compressed, .*; unpack the \.gz'):
            find_images(data)


@pytest.fixture
def broken(packed):
    """Of eight shards three are whole: one is cut off, and so on."""
    data = (packed / '002.tar').read_bytes()
    middle = index_shard(str(packed / '002.tar')).records[5]
    at = int(middle['offset'])
    (packed / '003.tar').write_bytes(data[: at + 10])
    (packed / '004.tar').write_bytes(data[: at - 400])
    damaged = bytearray(data)
    damaged[at - 500] ^= 0xFF  # in the header
    (packed / '005.tar').write_bytes(damaged)
    (packed / '006.tar').write_bytes(b'')
    (packed / '007.tar').write_bytes(b'\x1f\x8b' + data)
    return packed


REASONS = [*['is cut off or damaged after 5 images'] * 3, 'empty', 'compressed']


def test_broken_shards_are_left_out(broken, tmp_path):
    """What is before the break is used; each is listed as a bad image is."""
    dataset = ShardDataset(str(broken / '{000..008}.tar'))
    reasons = [*REASONS, 'No such file']
    assert len(dataset) == COUNT + 15 and len(dataset.bad_shards) == len(reasons)
    for bad, reason in zip(dataset.bad_shards, reasons, strict=True):
        assert reason in str(bad)
    # Found by the index too, which is not made anew.
    assert len(ShardDataset(str(broken / '{000..008}.tar')).bad_shards) == len(reasons)
    check_shards(dataset, 0.7)
    with pytest.raises(ValueError, match=r'6 of 9 shards are bad, more than 30%.*--max-bad-share'):
        check_shards(dataset, 0.3)
    listed = tmp_path / 'bad_files.txt'
    config = dict(type='ShardDataset', shards=str(broken / '{000..008}.tar'))
    assert len(batches(config, bad_files=str(listed))) == 9
    assert len(BadFiles(str(listed))) == len(reasons)


def test_nothing_in_any_shard(tmp_path):
    with tarfile.open(tmp_path / '0.tar', 'w') as tar:
        add(tar, 'a.txt', b'none')
    for pattern in ('0.tar', 'x{0..3}.tar'):
        with pytest.raises(FileNotFoundError, match='no image in'):
            ShardDataset(str(tmp_path / pattern))


def test_shard_that_changes(packed):
    """Another file of the same size is not read by the old index; a smaller one neither."""
    shard = packed / '000.tar'
    uri = index_shard(str(shard)).uri(4)
    data = shard.read_bytes()
    for other in (bytes(len(data)), data[: len(data) // 3]):
        storage._open_local.cache_clear()
        shard.write_bytes(other)
        with pytest.raises(
            BadImage, match=r'has changed since it was indexed; remove .*index\.npy'
        ):
            LoadImage()(dict(img_path=uri))
    storage._open_local.cache_clear()
    shard.unlink()
    with pytest.raises(BadImage, match='No such file'):
        LoadImage()(dict(img_path=uri))


def test_files_are_open_while_they_are_read(packed, images, monkeypatch):
    """Whether or not they are kept: of two threads that open a shard at once, one's is not."""
    monkeypatch.setattr(storage, '_open_local', storage._open_local.__wrapped__)
    uri = index_shard(str(packed / '000.tar')).uri(0)
    assert fileio.get(uri) == (images / 'a' / '00.png').read_bytes()


def test_newer_shard_is_indexed_anew(tmp_path, images):
    """Of the same size too, as shards often are."""
    data = next(images.rglob('*.png')).read_bytes()
    for label in ('3', '7'):
        with tarfile.open(tmp_path / '0.tar', 'w') as tar:
            add(tar, 'a.png', data)
            add(tar, 'a.cls', label.encode())
        assert index_shard(str(tmp_path / '0.tar')).records['label'].tolist() == [int(label)]


def test_index_of_another_shard(tmp_path):
    """Of the same size, with a member of the same size at the same place."""
    for number, name in enumerate(('a.png', 'b.png')):
        with tarfile.open(tmp_path / f'{number}.tar', 'w') as tar:
            add(tar, name, bytes([number]) * 600)
        index_shard(str(tmp_path / f'{number}.tar'))
    shutil.copy(tmp_path / f'0.tar{INDEX}', tmp_path / f'1.tar{INDEX}')
    uri = index_shard(str(tmp_path / '1.tar')).uri(0)
    with pytest.raises(OSError, match='has changed since it was indexed'):
        fileio.get(uri)


@pytest.mark.parametrize('damage', ['zeros', 'a header missing', 'two in one'])
def test_what_is_missing_at_the_end_is_noticed(packed, damage):
    data = (packed / '000.tar').read_bytes()
    at = int(index_shard(str(packed / '000.tar')).records[5]['offset'])
    broken = dict(
        zeros=data[:at] + bytes(2 << 20),
        **{'a header missing': data[: at - 3 * 512], 'two in one': data + data},
    )[damage]
    (packed / '001.tar').write_bytes(broken)
    assert 'is cut off or damaged' in str(index_shard(str(packed / '001.tar')).fault)


@pytest.mark.parametrize('label', ['99999999999999999999', '300000000', '-1', 'cat', ''])
def test_what_is_no_label(tmp_path, images, label):
    data = next(images.rglob('*.png')).read_bytes()
    with tarfile.open(tmp_path / '0.tar', 'w') as tar:
        add(tar, 'a.png', data)
        add(tar, 'a.cls', label.encode())
    assert len(ShardDataset(str(tmp_path / '0.tar'))) == 1
    with pytest.raises(ValueError, match='have no labels'):
        ShardDataset(str(tmp_path / '0.tar'), with_label=True)


def test_images_of_one_name(tmp_path, images):
    """Without labels they are images like others."""
    data = next(images.rglob('*.png')).read_bytes()
    with tarfile.open(tmp_path / '0.tar', 'w') as tar:
        for label in ('0', '2'):
            add(tar, 'x/a.png', data)
            add(tar, 'x/a.cls', label.encode())
    shard = str(tmp_path / '0.tar')
    assert len(ShardDataset(shard)) == 2
    for _ in range(2):  # the second time from the index that is kept
        with pytest.raises(ValueError, match=r'x/a\.png::.* has several labels'):
            ShardDataset(shard, with_label=True)


def test_labels_and_classes_differ(packed, tmp_path, images):
    with pytest.raises(ValueError, match="has the class 'b', which is none of the 1"):
        ShardDataset(str(packed), with_label=True, metainfo=dict(classes=('a',)))
    with tarfile.open(tmp_path / '0.tar', 'w') as tar:
        add(tar, 'a.png', next(images.rglob('*.png')).read_bytes())
        add(tar, 'a.cls', b'3')
    with pytest.raises(ValueError, match='has the label 3, and there are 2 classes'):
        ShardDataset(str(tmp_path / '0.tar'), with_label=True, metainfo=dict(classes=('a', 'b')))


def test_index_that_can_be_kept_nowhere(packed, monkeypatch):
    def refuse(path, content):
        raise PermissionError('read only')

    monkeypatch.setattr(shard_index, 'write_whole', refuse)
    with pytest.warns(UserWarning, match='cannot be kept: read only'):
        assert index_shard(str(packed / '000.tar')).count == 10


def test_full_disk_leaves_nothing_behind(packed, monkeypatch):
    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(shard_index.os, 'replace', full)
    with pytest.warns(UserWarning, match='No space left'):
        index_shard(str(packed / '000.tar'))
    assert sorted(path.name for path in packed.iterdir()) == ['000.tar', '001.tar', '002.tar']


def test_storage_that_answers_later(monkeypatch):
    monkeypatch.setattr(storage, 'WAITS', (0, 0))
    answers = [RuntimeError('503'), ConnectionError('gone'), b'x']

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert storage._asked(ask) == b'x'
    answers.extend([RuntimeError('503')] * 3)
    with pytest.raises(OSError, match='RuntimeError: 503'):
        storage._asked(ask)


def test_shard_of_another_size_is_indexed_anew(packed, images):
    before = index_shard(str(packed / '000.tar')).count
    pack(images, packed, shards=2)
    assert index_shard(str(packed / '000.tar')).count == COUNT // 2 != before


def test_index_where_nothing_can_be_written(packed, cache, monkeypatch):
    """Shards are often on storage that is read only."""
    write = shard_index.write_whole

    def refuse(path, content):
        if path.startswith(str(packed)):
            raise PermissionError('read only')
        write(path, content)

    monkeypatch.setattr(shard_index, 'write_whole', refuse)
    index = index_shard(str(packed / '000.tar'))
    assert index.count == 10 and len(list(cache.rglob(f'*{INDEX}'))) == 1
    assert not list(packed.glob(f'*{INDEX}'))
    monkeypatch.setattr(shard_index, '_scan', None)  # it is not made twice
    assert (index_shard(str(packed / '000.tar')).records == index.records).all()
    # The one to remove is named, where the shard is another one.
    (kept,) = cache.rglob(f'*{INDEX}')
    with open(packed / '000.tar', 'r+b') as file:
        file.write(bytes(10_000))
    with pytest.raises(OSError, match=f'has changed since it was indexed; remove {kept}$'):
        fileio.get(index.uri(0))


def test_damaged_index_is_made_anew(packed):
    index = index_shard(str(packed / '000.tar'))
    for content in (b'', b'\x93NUMPY', pickle.dumps([1])):
        (packed / f'000.tar{INDEX}').write_bytes(content)
        assert (index_shard(str(packed / '000.tar')).records == index.records).all()


class Ranges(BaseHTTPRequestHandler):
    """A server that answers with parts of files, as those of clouds do."""

    root: Path
    asked: list

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = self.root / self.path.lstrip('/')
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        wanted = self.headers.get('Range')
        if wanted and body:
            first, last = wanted.removeprefix('bytes=').split('-')
            part = data[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header('Content-Range', f'bytes {first}-{last}/{len(data)}')
        else:
            part = data
            self.send_response(200)
        self.send_header('Accept-Ranges', 'bytes')
        self.send_header('Content-Length', str(len(part)))
        self.end_headers()
        if body:
            self.asked.append((self.path, len(part)))
            self.wfile.write(part)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(packed):
    pytest.importorskip('aiohttp', reason='fsspec reads http with aiohttp')
    handler = type('Handler', (Ranges,), dict(root=packed, asked=[]))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        http.asked = handler.asked
        http.url = f'http://127.0.0.1:{http.server_port}'
        yield http
        http.shutdown()


@pytest.mark.parametrize('workers', [0, 2])
def test_over_http(server, images, workers):
    expected = batches(dict(type='CustomDataset', data_root=str(images), with_label=False))
    shards = dict(type='ShardDataset', shards=server.url + '/{000..002}.tar')
    assert equal(batches(shards, workers=workers), expected)


def test_bytes_over_http(server, packed):
    """An index that lies beside a shard is used, and of the shard only the images are fetched."""
    local = [index_shard(str(packed / f'{i:03}.tar')) for i in range(SHARDS)]
    dataset = ShardDataset(server.url + '/{000..002}.tar')
    assert {Path(path).suffix for path, _ in server.asked} == {'.npy'}
    server.asked.clear()
    dataset.fetch([0, 11, 29])
    assert len(server.asked) == 3
    for index in (0, 11, 29):
        expected = fileio.get(local[index // 10].uri(index % 10))
        assert fileio.get(dataset.get_data_info(index)['img_path']) == expected
    assert len(server.asked) == 3  # nothing was asked for twice
    size = sum(int(index.records['size'].sum()) for index in local)
    assert sum(length for _, length in server.asked) < size


def test_server_fails(server, packed):
    for i in range(SHARDS):
        index_shard(str(packed / f'{i:03}.tar'))
    dataset = ShardDataset(server.url + '/{000..003}.tar')
    assert len(dataset.bad_shards) == 1
    (packed / '001.tar').unlink()
    dataset.fetch([12])
    with pytest.raises(BadImage, match='cannot be read'):
        LoadImage()(dict(img_path=dataset.get_data_info(12)['img_path']))


class Strict(MemoryFileSystem):
    """Takes no options of files, as s3fs."""

    protocol = 'strict'

    def __init__(self):
        super().__init__()

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace(f'{cls.protocol}://', 'memory://'))


def test_any_storage_of_fsspec(packed):
    fsspec.register_implementation('strict', Strict, clobber=True)
    memory = fsspec.filesystem('memory')
    for path in packed.glob('*.tar'):
        memory.pipe(f'/set/{path.name}', path.read_bytes())
    assert len(ShardDataset('strict://set/{000..002}.tar')) == COUNT
    dataset = ShardDataset('memory://set/{000..002}.tar')
    assert shard_names('memory://set/*.tar') == [f'memory:///set/{i:03}.tar' for i in range(SHARDS)]
    local = ShardDataset(str(packed))
    for index in (0, COUNT - 1):
        uris = [found.get_data_info(index)['img_path'] for found in (dataset, local)]
        assert fileio.get(uris[0]) == fileio.get(uris[1])
    memory.rm('/set', recursive=True)


class Failing(io.BytesIO):
    """A file, some of whose reads fail; not every storage raises an OSError."""

    reads = 0
    failures = MappingProxyType({12: ConnectionResetError, 50: RuntimeError})

    def read(self, *size):
        Failing.reads += 1
        if Failing.reads in self.failures:
            raise self.failures[Failing.reads]('disconnected')
        return super().read(*size)


class Flaky(Strict):
    protocol = 'flaky'

    def _open(self, path, *arguments, **options):
        return Failing(super()._open(path).getvalue())


def test_storage_that_fails_while_a_shard_is_indexed(packed, monkeypatch):
    """It is asked again: a run has all images, or it would not be the same run."""
    monkeypatch.setattr(storage, 'WAITS', (0, 0, 0))
    fsspec.register_implementation('flaky', Flaky, clobber=True)
    memory = fsspec.filesystem('memory')
    for path in packed.glob('*.tar'):
        memory.pipe(f'/flaky/{path.name}', path.read_bytes())
    dataset = ShardDataset('flaky://flaky/{000..002}.tar')
    assert (
        Failing.reads > max(Failing.failures) and len(dataset) == COUNT and dataset.bad_shards == []
    )
    memory.rm('/flaky', recursive=True)


def test_an_address_through_several_storages(packed, tmp_path):
    with zipfile.ZipFile(tmp_path / 'all.zip', 'w') as archive:
        for path in packed.glob('*.tar'):
            archive.write(path, path.name)
    dataset = ShardDataset(f'zip://{{000..002}}.tar::file://{tmp_path}/all.zip')
    local = ShardDataset(str(packed))
    assert len(dataset) == COUNT
    uris = [
        [found.get_data_info(i)['img_path'] for i in range(COUNT)] for found in (dataset, local)
    ]
    dataset.fetch(range(COUNT))
    for uri, other in zip(*uris, strict=True):
        assert fileio.get(uri) == fileio.get(other)


def test_bytes_that_nobody_has_taken_are_forgotten(server, packed):
    """Of samples that were left out, or they would fill the memory."""
    dataset = ShardDataset(server.url + '/{000..002}.tar')
    for indices in ([0, 1], [2]):
        dataset.fetch(indices)
    assert len(data_shards._fetched) == 1


@pytest.mark.parametrize('place', ['{000..002}.tar', ''])
def test_a_data_root_of_shards(packed, place):
    root = str(packed / place) if place else str(packed.parent)
    prefix = '' if place else 'shards'
    dataset = dict(
        type='CustomDataset', data_root=root, data_prefix=prefix, with_label=False, pipeline=[]
    )
    use_shards(dataset)
    expected = str(packed / place)
    assert dataset == dict(type='ShardDataset', shards=expected, with_label=False, pipeline=[])


def test_what_is_no_set_of_shards(images, packed, tmp_path):
    """ImageNet's own folder has archives beside the classes."""
    (tmp_path / 'imagenet' / 'n01').mkdir(parents=True)
    (tmp_path / 'imagenet' / 'n01.tar').touch()
    assert not is_shards(tmp_path / 'imagenet') and not is_shards(images)
    assert not is_shards(tmp_path / 'none') and is_shards(packed)
    folder = dict(type='CustomDataset', data_root=str(images), pipeline=[])
    use_shards(folder)
    assert folder['type'] == 'CustomDataset'
    # A prefix is what is meant, where labels are.
    labelled = dict(type='CustomDataset', data_root=str(packed), data_prefix='train')
    use_shards(labelled)
    assert labelled['type'] == 'CustomDataset'
    with pytest.raises(ValueError, match='for which indices is not there'):
        use_shards(dict(type='CustomDataset', data_root=str(packed), indices=3))
    classes = dict(type='CustomDataset', data_root=str(packed), classes=['b', 'a'])
    use_shards(classes)
    assert classes['metainfo'] == dict(classes=['b', 'a'])


def test_some_of_many(packed):
    """Names are made of those alone that are drawn."""
    every = shard_uris(str(packed))
    count, some = some_uris(str(packed), 7)
    assert count == COUNT == len(every) and len(set(some)) == 7 and set(some) < set(every)
    assert some == sorted(some, key=every.index) and some_uris(str(packed), 100)[1] == every


def test_folders_with_odd_names(packed, tmp_path):
    for name in ('q[0]', 'b{1,2}', 'h#1::x', 'ü *'):
        shutil.copytree(packed, tmp_path / name)
        assert len(shard_uris(str(tmp_path / name))) == COUNT
    (packed / 'README.md').touch()
    (packed / '003.tar.partial').touch()
    assert is_shards(packed)


def test_names_lead_nowhere_else(tmp_path):
    for folder in ('a', 'b'):
        (tmp_path / folder).mkdir()
        with tarfile.open(tmp_path / folder / '0.tar', 'w') as tar:
            for name in ('../../evil.jpg', '/etc/x.jpg', 'same.jpg', 'same.jpg'):
                add(tar, name, b'1')
    pattern = str(tmp_path / '{a,b}' / '0.tar')
    names = image_names(find_images(pattern), pattern)
    assert len(set(names)) == 8 and all(name.startswith('0.tar/') for name in names)
    assert not any('..' in name or name.startswith('/') for name in names)


def test_commands_look_into_shards(packed, images):
    found = find_images(str(packed))
    assert found == shard_uris(str(packed / '*.tar')) and len(found) == COUNT
    names = image_names(found, str(packed))
    assert names[0] == '000.tar/a/00.png' and len(set(names)) == COUNT
    pixels = LoadImage()(dict(img_path=found[0]))['img']
    assert (pixels[..., ::-1] == np.asarray(Image.open(images / 'a' / '00.png'))).all()


def read_in_two(rank, folder, shards):
    """One process of two, whose collectives give up after two seconds; an index takes four."""
    os.environ.update(LOCAL_RANK=str(rank), XDG_CACHE_HOME=f'{folder}/cache')
    torch.distributed.init_process_group(
        'gloo',
        f'file://{folder}/store',
        timeout=timedelta(seconds=2),
        rank=rank,
        world_size=2,
    )
    made, scan = [], shard_index._scan

    def slow(*args, **kwargs):
        time.sleep(4)
        made.append(args)
        return scan(*args, **kwargs)

    shard_index._scan = slow
    found = len(ShardDataset(shards, PIPELINE)), len(made)
    Path(folder, f'{rank}.txt').write_text(repr(found))


@pytest.mark.slow
def test_an_index_may_take_longer_than_a_collective(packed, tmp_path):
    for file in packed.glob(f'*{INDEX}'):
        file.unlink()
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.forked_libraries'])
    given = [(rank, str(tmp_path), str(packed)) for rank in (0, 1)]
    ranks = [context.Process(target=read_in_two, args=args) for args in given]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
    found = [(tmp_path / f'{rank}.txt').read_text() for rank in (0, 1)]
    assert found == [f'({COUNT}, {SHARDS})', f'({COUNT}, 0)']
