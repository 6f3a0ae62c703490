"""A bad sample is listed, and replaced by one that hangs on (seed, epoch, index) alone."""

import os
import pickle
from multiprocessing import get_context

import numpy as np
import pytest
from mmengine.config import ConfigDict
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from PIL import Image

from wamim_mm.data.bad_files import BadFiles, BadImage, find_fault
from wamim_mm.data.seeding import SampleIndex, SeededDataset, seed_draws

OURS = dict(type='LoadRandomResizedCrop', scale=8)
MMCVS = [dict(type='LoadImageFromFile'), dict(type='RandomResizedCrop', scale=8)]


def lines_of(path):
    return [line.split(b'\t') for line in path.read_bytes().splitlines()]


def test_an_error_that_travels():
    error = pickle.loads(pickle.dumps(BadImage('a b.jpg', 'is\n no image')))
    assert (error.path, error.reason, str(error)) == (
        'a b.jpg',
        'is no image',
        "'a b.jpg' is no image",
    )


def test_each_file_is_listed_once(tmp_path):
    """By several lists of the same file, as in several processes and after a resume."""
    path = tmp_path / 'work' / 'bad_files.txt'
    lists = [BadFiles(str(path)) for _ in range(3)]
    assert len(lists[0]) == 0 and not path.exists()
    names = ['a.jpg', 'b c.jpg', 'a.jpg', 'd\ne.jpg', 'f\tg\\.jpg', '\N{SNOWMAN}.jpg']
    names.append(os.fsdecode(b'\xff.jpg'))
    for name in names:
        for each in lists:
            each.add(BadImage(name, 'is\tno image'))
    expected = ['a.jpg', 'b c.jpg', 'd\\ne.jpg', 'f\\tg\\\\.jpg', '\N{SNOWMAN}.jpg']
    expected = [name.encode() for name in expected] + [b'\xff.jpg']
    assert lines_of(path) == [[name, b'is no image'] for name in expected]
    assert [len(each) for each in lists] == [6, 6, 6] and len(BadFiles(str(path))) == 6


def add_many(path, barrier):
    listed = BadFiles(path)
    barrier.wait()
    for number in range(200):
        listed.add(BadImage(f'{number}.jpg', 'is empty'))


def test_processes_at_the_same_time(tmp_path):
    context = get_context('fork')
    barrier = context.Barrier(3)
    path = tmp_path / 'bad_files.txt'
    processes = [context.Process(target=add_many, args=(str(path), barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    names = [name for name, _ in lines_of(path)]
    assert len(names) == 200 and len(set(names)) == 200


@pytest.fixture
def config(tmp_path):
    """The config of a folder of images, of which those with these numbers are bad."""

    def do(bad=(), count=12, pipeline=(OURS,)):
        folder = tmp_path / 'images'
        folder.mkdir(exist_ok=True)
        for number in range(count):
            path = folder / f'{number:02}.png'
            if number in bad:
                path.write_text('no image')
            else:
                Image.new('RGB', (9, 9), (10 * number, 0, 0)).save(path)
        return dict(
            type='CustomDataset', data_root=str(folder), with_label=False, pipeline=list(pipeline)
        )

    return do


def collate(samples):
    return samples


def epochs(dataset, tmp_path, workers, count=2, name='bad.txt'):
    """What a loader yields: the files, in their order."""
    cfg = ConfigDict(
        dataset=dataset,
        sampler=dict(type='DefaultSampler', shuffle=True),
        batch_size=4,
        num_workers=workers,
        collate_fn=dict(type=collate),
    )
    seed_draws(cfg, 7, str(tmp_path / name))
    loader = Runner.build_dataloader(cfg)
    found = []
    for epoch in range(count):
        loader.sampler.set_epoch(epoch)
        samples = [part for batch in loader for part in batch]
        found.append([(s['img_path'], s['img'].tobytes()) for s in samples])
    return found


@pytest.mark.parametrize('pipeline', [[OURS], MMCVS])
def test_replacements_do_not_hang_on_workers(config, tmp_path, pipeline):
    bad = (3, 4, 10)
    dataset = config(bad, pipeline=pipeline)
    alone = epochs(dataset, tmp_path, 0)
    for epoch in alone:
        paths = [path[-6:] for path, _ in epoch]
        assert len(paths) == 12 and not {f'{n:02}.png' for n in bad} & {*paths}
    for workers in (1, 3):
        assert epochs(dataset, tmp_path, workers, name=f'{workers}.txt') == alone
        assert sorted(lines_of(tmp_path / f'{workers}.txt')) == sorted(
            lines_of(tmp_path / 'bad.txt')
        )
    listed = lines_of(tmp_path / 'bad.txt')
    assert sorted(name[-6:].decode() for name, _ in listed) == [f'{n:02}.png' for n in bad]
    assert {reason[:11] for _, reason in listed} == {b'is no image'}


def test_good_samples_are_those_of_a_run_without_bad_ones(config, tmp_path):
    good = epochs(config(), tmp_path, 0)
    with_bad = epochs(config((5,)), tmp_path, 0)
    for before, after in zip(good, with_bad, strict=True):
        changed = [old[0][-6:] for old, new in zip(before, after, strict=True) if old != new]
        assert changed == ['05.png']


def test_a_file_that_vanishes(config, tmp_path):
    dataset = SeededDataset(config(), 0, str(tmp_path / 'bad.txt'))
    path = dataset[4]['img_path']
    os.remove(path)
    replaced = dataset[4]['img_path']
    assert replaced != path and dataset[4]['img_path'] == replaced
    assert len({dataset[SampleIndex(4, epoch)]['img_path'] for epoch in range(20)}) > 3
    reason = b'cannot be read: No such file or directory'
    assert lines_of(tmp_path / 'bad.txt') == [[path.encode(), reason]]


def test_bad_ones_only(config):
    dataset = SeededDataset(config(range(12)), 0)
    message = r"16 samples in a row are bad, the last one: '.*\.png' is no image.*pipeline"
    with pytest.raises(ValueError, match=message):
        dataset[0]


@DATASETS.register_module()
class Failing:
    """Whatever goes wrong while a sample is made."""

    def __init__(self, info, error):
        self.info, self.error = info, error

    def __len__(self):
        return 3

    def get_data_info(self, index):
        return self.info

    def __getitem__(self, index):
        raise self.error


def test_other_errors_pass(tmp_path):
    Image.new('RGB', (4, 4)).save(tmp_path / 'good.png')
    (tmp_path / 'bad.png').touch()
    good, bad, error = str(tmp_path / 'good.png'), str(tmp_path / 'bad.png'), KeyError('scale')
    for info in (dict(img_path=good), dict(img_path=[bad]), {}):
        with pytest.raises(KeyError, match='scale'):
            SeededDataset(dict(type='Failing', info=info, error=error), 0)[0]
    for info in (dict(img_path=bad), dict(img_path=good, seg_map_path=bad)):
        with pytest.raises(ValueError, match=r"the last one: '.*bad\.png' "):
            SeededDataset(dict(type='Failing', info=info, error=error), 0)[0]


def test_what_is_wrong_with_a_file(tmp_path):
    Image.fromarray(np.zeros((5, 5), np.uint16)).save(tmp_path / 'deep.png')
    assert find_fault(str(tmp_path / 'deep.png')) is None
    (tmp_path / 'text.png').write_text('no image')
    (tmp_path / 'empty.png').touch()
    assert find_fault(str(tmp_path / 'text.png')).reason == 'is no image: OpenCV cannot read it'
    assert find_fault(str(tmp_path / 'empty.png')).reason.startswith('is no image: ')
    assert find_fault(str(tmp_path)).reason == 'cannot be read: Is a directory'


def test_a_list_that_cannot_be_written(config, tmp_path):
    """A full disk, for example, is no reason to end a run."""
    (tmp_path / 'file').touch()
    dataset = SeededDataset(config((0,)), 0, str(tmp_path / 'file' / 'bad.txt'))
    with pytest.warns(UserWarning, match=r"00\.png' is no image.*not listed"):
        assert dataset[0]['img'].shape == (8, 8, 3)
