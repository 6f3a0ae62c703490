"""Two processes that are not alike; tests/faults/machines.py has two machines."""

import os
import socket
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from torch import nn
from torch.distributed import destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset

from wamim_mm.cli import several
from wamim_mm.cli.several import SameStateHook, agree, compare, compare_data, first_says

HOST = socket.gethostname()


@pytest.fixture
def both(tmp_path):
    """Call a function with each rank, in two processes of a group; what each returns or raises."""

    def run(function):
        children = []
        for rank in (0, 1):
            child = os.fork()
            if child == 0:
                try:
                    init_process_group(
                        'gloo', init_method=f'file://{tmp_path}/meet', rank=rank, world_size=2
                    )
                    try:
                        text = repr(function(rank))
                    except ValueError as error:
                        text = str(error)
                    (tmp_path / f'{rank}').write_text(text)
                    destroy_process_group()
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        (tmp_path / 'meet').unlink(missing_ok=True)
        return [(tmp_path / f'{rank}').read_text() for rank in (0, 1)]

    return run


def test_the_first_difference_is_named(both):
    same = {'torch': '2.6', 'lr': '0.1'}
    assert both(lambda rank: compare(same, 'change it')) == ['None', 'None']
    for other, text in (
        (dict(lr='0.2'), 'lr is 0.2 there, and 0.1 on {0}; change it'),
        (
            dict(torch=None, lr='0.2'),
            'torch is missing there, and 2.6 on {0} (and 1 more differ); change it',
        ),
        (dict(more='a' * 200), f'more is {"a" * 100}... there, and missing on {{0}}; change it'),
    ):
        said = both(lambda rank, other=other: compare(same | other if rank else same, 'change it'))
        line = f'process 1 on {HOST} differs from process 0 on {HOST}: {text.format(HOST)}'
        assert said == [line, line]


def test_facts(tmp_path, monkeypatch):
    cfg = Config(
        dict(
            data_root='/here',
            loader=dict(dataset=dict(data_root='/here', ann_file='a.json'), batch_size=2),
            hooks=[dict(type='A'), dict(type='B', at=[1, 2])],
            lr=1e-3,
        )
    )
    facts = several._facts(cfg)
    assert facts['torch'] == torch.__version__.split('+')[0] or facts['torch'] == torch.__version__
    assert facts['mmengine']
    package = Path(several.__file__).parent.parent
    files = [name for name in facts if name.startswith('the file ')]
    assert len(files) == len(list(package.rglob('*.py')))
    values = {name: value for name, value in facts.items() if name in ('lr', 'hooks.1.at')}
    assert values == {'lr': '0.001', 'hooks.1.at': '[1, 2]'}
    assert facts['loader.batch_size'] == '2'
    assert not {'data_root', 'loader.dataset.data_root', 'loader.dataset.ann_file'} & facts.keys()
    # A file that differs in one byte, and an object that lies elsewhere in memory.
    (tmp_path / 'cli').mkdir()
    monkeypatch.setattr(several, '__file__', str(tmp_path / 'cli/several.py'))
    for text, value in (('a', lambda: None), ('b', lambda: None)):
        (tmp_path / 'cli/a.py').write_text(text)
        found = several._facts(SimpleNamespace(to_dict=lambda value=value: {'at': value}))
        assert 'function' in found['at'] and '0x' not in found['at']
        name = f'the file {tmp_path.name}/cli/a.py'
        assert found[name] != facts.get(name)
        facts = found


def test_the_first_process_decides(both, tmp_path):
    assert both(lambda rank: first_says(rank + 5)) == ['5', '5']
    for name in ('full', 'empty'):
        (tmp_path / name).mkdir()
    (tmp_path / 'full/iter_5.pth').touch()

    def agreed(*work_dirs, again=(False, False), resume=(None, None)):
        return both(lambda rank: agree(str(tmp_path / work_dirs[rank]), resume[rank], again[rank]))

    # One machine knows that it is a restart, and the other does not.
    for again in ((True, False), (False, True)):
        assert agreed('full', 'full', again=again) == ["('auto', True)"] * 2
        assert agreed('empty', 'empty', again=again) == ['(None, True)'] * 2
    assert agreed('full', 'full') == ['(None, False)'] * 2
    assert agreed('full', 'full', resume=('auto', None)) == ["('auto', False)"] * 2
    assert agreed('full', 'full', resume=(None, 'auto')) == ['(None, False)'] * 2
    # Each machine has a disk of its own: nothing is resumed by one of them alone.
    for said in agreed('full', 'empty', again=(True, True)):
        assert 'a checkpoint in ' in said and 'a file system that all machines share' in said


class Images(BaseDataset):
    def __init__(self, *names, label=0, data_root='/a'):
        self.names, self.label, self.data_root = names, label, data_root

    def __len__(self):
        return len(self.names)

    def get_data_info(self, i):
        return dict(img_path=self.names[i], gt_label=self.label)


class Wrapper(Dataset):
    """As training has one around each data set."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)


def test_data(both):
    def said(first, second):
        def check(rank):
            loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=(first, second)[rank]))
            compare_data(
                SimpleNamespace(_train_loop=loop, _val_loop=None),
                ('train_dataloader', 'val_dataloader'),
            )

        return both(check)[1]

    one = Images('/a/cat/1.jpg', '/a/cat/2.jpg')
    elsewhere = ('/b/c/cat/1.jpg', '/b/c/cat/2.jpg')
    assert said(one, Images(*elsewhere, data_root='/b/c/')) == 'None'
    assert said(Images(*one.names, data_root=''), Images(*elsewhere, data_root='')) == 'None'
    fewer = said(one, Images('/a/cat/1.jpg'))
    assert 'the number of images of train_dataloader is 1 there, and 2 on ' in fewer
    assert fewer.endswith('put the same data on all machines')
    assert 'image 1 of train_dataloader is cat/3.jpg, label 0 there' in said(
        one, Images('/a/cat/1.jpg', '/a/cat/3.jpg')
    )
    assert 'image 0 of train_dataloader is cat/1.jpg, label 1 there' in said(
        one, Images(*one.names, label=1)
    )
    other = Images('/a/cat/1.jpg', '/a/cat/3.jpg')
    assert 'image 1 of train_dataloader is cat/3.jpg' in said(Wrapper(one), Wrapper(other))
    assert said([1, 2], [1, 2]) == 'None'  # any data set of torch
    assert said(iter([1]), iter([1, 2])) == 'None'  # one without a length
    assert 'is 3 there' in said([1, 2], [1, 2, 3])


def test_all_go_on_from_the_checkpoint_of_the_first(both, monkeypatch):
    """A file system may show it to the others later."""
    monkeypatch.setattr(several, 'find_latest_checkpoint', lambda folder: f'{folder}.pth')

    def begin(rank):
        runner = SimpleNamespace(_resume=True, _load_from=None, work_dir=f'epoch_{rank}')
        SameStateHook().before_run(runner)
        return runner._load_from

    assert both(begin) == ["'epoch_0.pth'"] * 2


def test_weights_and_iteration(both):
    def said(**changes):
        def check(rank):
            torch.manual_seed(0)
            model = DistributedDataParallel(nn.Linear(3, 2).half())
            runner = SimpleNamespace(iter=4, model=model)
            if rank == 1:
                for name, change in changes.items():
                    change(runner if name == 'iter' else getattr(model.module, name))
            SameStateHook().before_train(runner)

        return both(check)[0]

    def set_iter(runner):
        runner.iter = 9

    def nudge(weight):
        weight.data[0, 0] = weight.data[0, 0] * 1.01

    assert said() == 'None'
    assert 'the iteration to go on from is 9 there, and 4 on ' in said(iter=set_iter)
    line = said(weight=nudge)
    assert 'the checksum of weight is ' in line and 'a file system that all machines share' in line


@pytest.mark.parametrize(
    ('launcher', 'told'), [('pytorch', 'with the same NNODES and PORT'), ('slurm', 'in one job')]
)
def test_processes_that_do_not_meet_are_told_what_their_launcher_knows(monkeypatch, launcher, told):
    def fails(*_, **__):
        raise RuntimeError('timed out')

    for name in ('init_dist', 'meet_anew', 'use_cpu_processes', 'set_multi_processing'):
        monkeypatch.setattr(several, name, fails if name == 'init_dist' else lambda *_, **__: None)
    with pytest.raises(RuntimeError, match=rf'machines started, {told}, .*\(timed out\)'):
        several._meet(Config(dict(launcher=launcher)))
