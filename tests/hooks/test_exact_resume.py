"""A run that goes on from any of its checkpoints ends with the same weights."""

import logging
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook, IterTimerHook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from wamim_mm.data.seeding import seed_draws
from wamim_mm.hooks import exact_resume

from ..small_runs import Rates

pytestmark = pytest.mark.usefixtures('own_instances')


class Model(BaseModel):
    """Draws from the generators of torch and NumPy in every step."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.seen = []

    def forward(self, inputs, mode='tensor'):
        self.seen.append([round(float(x[0]), 4) for x in inputs])
        x = nn.functional.dropout(torch.stack(inputs), 0.5) * np.random.random()  # noqa: NPY002
        return dict(loss=self.layer(x).square().mean())


@DATASETS.register_module()
class Noisy(BaseDataset):
    """Samples that are drawn anew each time."""

    read: ClassVar[list] = []

    def __init__(self, length):
        super().__init__(serialize_data=False, lazy_init=True)
        infos = [dict(width=1 + place % 3, height=2) for place in range(length)]
        self.data_list, self._fully_initialized = infos, True

    def __getitem__(self, index):
        self.read.append(index)
        return index + torch.rand(3)


def run(
    work_dir,
    workers=0,
    epochs=3,
    length=10,
    drop_last=True,
    kind=Model,
    hooks=(),
    interval=1,
    save_begin=0,
    batch_sampler=None,
    sampler=None,
    by_epoch=False,
    **options,
):
    loader = dict(
        dataset=dict(type='Noisy', length=length),
        batch_size=2,
        num_workers=workers,
        **(dict(batch_sampler=batch_sampler) if batch_sampler else dict(drop_last=drop_last)),
        sampler=sampler or dict(type='DefaultSampler', shuffle=True),
        collate_fn=lambda samples: dict(inputs=samples),
    )
    seed_draws(loader, 3)
    torch.manual_seed(0)
    model = kind()
    runner = Runner(
        model,
        str(work_dir),
        train_dataloader=loader,
        train_cfg=options.pop('train_cfg', dict(by_epoch=True, max_epochs=epochs)),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=options.pop(
            'param_scheduler',
            dict(type='CosineAnnealingLR', T_max=epochs, convert_to_iter_based=True),
        ),
        default_hooks=dict(
            checkpoint=dict(
                type='CheckpointHook', interval=interval, by_epoch=by_epoch, save_begin=save_begin
            )
        ),
        custom_hooks=[dict(type='EpochPositionHook'), dict(type='StepSeedHook', seed=3), *hooks],
        randomness=dict(seed=3),
        default_scope='mmpretrain',
        experiment_name=f'{work_dir}{options}',
        log_level='ERROR',
        **options,
    )
    runner.train()
    return model


@HOOKS.register_module()
class Places(Hook):
    """The number of each batch in its epoch, as other hooks and the log count them."""

    def __init__(self, places):
        self.places = places

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.places.append((runner.epoch, batch_idx))


def test_batches_are_counted_from_the_beginning_of_their_epoch(tmp_path):
    whole, resumed = [], []
    run(tmp_path / 'whole', hooks=[dict(type='Places', places=whole)])
    checkpoint = str(tmp_path / 'whole' / 'iter_7.pth')
    hooks = [dict(type='Places', places=resumed)]
    run(tmp_path / 'resumed', hooks=hooks, load_from=checkpoint, resume=True)
    assert whole == [(epoch, place) for epoch in range(3) for place in range(5)]
    assert resumed == whole[7:]


def test_processes_draw_apart(monkeypatch):
    """Dropout and mixup of each are its own; those of a step are always the same."""

    def drawn(rank, step):
        monkeypatch.setattr(exact_resume, 'get_rank', lambda: rank)
        exact_resume.StepSeedHook(3).before_train_iter(SimpleNamespace(iter=step))
        return torch.rand(2).tolist(), np.random.rand(2).tolist()  # noqa: NPY002

    found = [drawn(rank, step) for rank in (0, 1, 2) for step in (5, 6)]
    assert len(set(map(str, found))) == 6 and drawn(1, 6) == found[3]


@pytest.mark.parametrize(('length', 'drop_last'), [(10, True), (11, False), (9, True)])
def test_from_every_step(tmp_path, length, drop_last):
    whole = run(tmp_path / 'whole', length=length, drop_last=drop_last)
    steps = len(whole.seen)
    for step in range(1, steps):
        checkpoint = str(tmp_path / 'whole' / f'iter_{step}.pth')
        resumed = run(
            tmp_path / f'{step}',
            workers=0 if step % 4 else 2,
            length=length,
            drop_last=drop_last,
            load_from=checkpoint,
            resume=True,
        )
        assert resumed.seen == whole.seen[step:]
        for name, tensor in whole.state_dict().items():
            assert torch.equal(tensor, resumed.state_dict()[name]), (step, name)


def test_batches_by_aspect_ratio(tmp_path):
    """As mmdet's recipes have them: the order within an epoch depends on the images."""
    options = dict(length=11, epochs=2, batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'))
    whole = run(tmp_path / 'whole', **options)
    assert len(whole.seen) == 12 and whole.seen[:6] != whole.seen[6:]
    for step in (1, 5, 6, 8, 11):
        checkpoint = str(tmp_path / 'whole' / f'iter_{step}.pth')
        resumed = run(
            tmp_path / f'{step}',
            workers=2 * (step == 8),
            load_from=checkpoint,
            resume=True,
            **options,
        )
        assert resumed.seen == whole.seen[step:]
        for name, tensor in whole.state_dict().items():
            assert torch.equal(tensor, resumed.state_dict()[name]), (step, name)


@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'DefaultSampler'])
@pytest.mark.parametrize('batch_sampler', [None, dict(type='mmdet.AspectRatioBatchSampler')])
def test_iterations_are_skipped_unread(tmp_path, sampler, batch_sampler, monkeypatch):
    loops = 'mmengine.runner.loops'
    monkeypatch.setattr(f'{loops}.time.sleep', lambda seconds: None)
    # As with workers, whose reads could not be counted here.
    unable = f'{loops}._InfiniteDataloaderIterator._can_skip_without_loading'
    monkeypatch.setattr(unable, lambda self: False, raising=False)
    options = dict(
        train_cfg=dict(by_epoch=False, max_iters=14),
        param_scheduler=None,
        sampler=dict(type=sampler, shuffle=True),
        batch_sampler=batch_sampler,
    )
    whole = run(tmp_path / 'whole', **options)
    for step in (3, 5, 7, 10, 12):  # an epoch has 5 steps
        checkpoint = str(tmp_path / 'whole' / f'iter_{step}.pth')
        Noisy.read.clear()
        resumed = run(tmp_path / f'{step}', load_from=checkpoint, resume=True, **options)
        assert len(Noisy.read) == 2 * (14 - step)
        assert resumed.seen == whole.seen[step:]
        for name, tensor in whole.state_dict().items():
            assert torch.equal(tensor, resumed.state_dict()[name]), (step, name)


@pytest.mark.parametrize('step', [4, 5, 10])
def test_schedules_by_epoch(tmp_path, step):
    """After an epoch's last step, what is done at its end has not been done."""
    options = dict(param_scheduler=dict(type='MultiStepLR', milestones=[1, 2]))
    rates = Rates('lr'), Rates('lr')
    whole = run(tmp_path / 'whole', hooks=[rates[0]], **options)
    checkpoint = str(tmp_path / 'whole' / f'iter_{step}.pth')
    hooks = [dict(type='ResumeHook'), rates[1]]
    resumed = run(tmp_path / 'on', hooks=hooks, load_from=checkpoint, resume=True, **options)
    assert rates[1].rates == rates[0].rates[step:]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_an_order_that_nobody_knows(tmp_path, caplog):
    """The epoch begins anew, which is said, and the log's estimates do not divide by zero."""
    loader = torch.utils.data.DataLoader([torch.ones(3)] * 10, 2)
    runner = SimpleNamespace(iter=7, epoch=1, logger=logging.getLogger(__name__))
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop)
    loop.dataloader, loop._iter = loader, 7
    timer = IterTimerHook()
    timer.start_iter = 7
    runner.train_loop, runner.hooks = loop, [timer]
    exact_resume.EpochPositionHook().before_train_epoch(runner)
    assert (loop._iter, timer.start_iter) == (5, 5)
    assert 'epoch 2 begins anew, 2 steps are repeated' in caplog.text
