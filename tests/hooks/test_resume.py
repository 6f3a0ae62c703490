"""A resumed run follows its config."""

import logging
import math

import pytest
import torch

from wamim_mm.hooks import ResumeHook
from wamim_mm.hooks.resume import _was_by_iteration

from ..small_runs import Line, small_run

COSINE = [
    dict(type='LinearLR', start_factor=0.1, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=1, convert_to_iter_based=True),
]
BY_EPOCH = [dict(type='CosineAnnealingLR')]
BY_ITERATION = [dict(type='PolyLR', by_epoch=False, power=2)]


def cosine(step, steps, epochs, lr=1.0):
    """Warm-up for an epoch of so many steps, and a cosine for the others."""
    if step < steps:
        return lr * (0.1 + 0.9 * step / (steps - 1))
    return lr * (1 + math.cos(math.pi * (step - steps) / (steps * (epochs - 1)))) / 2


def stairs(step, steps, epochs, lr=1.0):
    return lr * (1 + math.cos(math.pi * (step // steps) / epochs)) / 2


def resume(tmp_path, checkpoint, schedule, length, **options):
    return small_run(
        tmp_path / 'resumed',
        schedule,
        length,
        hooks=[ResumeHook()],
        load_from=str(checkpoint),
        resume=True,
        **options,
    )


def first_run(tmp_path, schedule=COSINE, length=None, **options):
    """A run of MMEngine's, on 12 numbers; its work dir."""
    small_run(
        tmp_path / 'first',
        schedule,
        length or {'max_epochs': 4},
        steps=12,
        **options,
    )
    return tmp_path / 'first'


@pytest.mark.parametrize(
    ('epoch', 'epochs', 'batch'),
    [(2, 8, 2), (2, 3, 2), (2, 4, 4), (2, 4, 1), (1, 6, 3), (3, 5, 5)],
    ids=['longer', 'shorter', 'larger batch', 'smaller batch', 'both', 'an uneven batch'],
)
@pytest.mark.parametrize(('schedule', 'curve'), [(COSINE, cosine), (BY_EPOCH, stairs)])
def test_the_schedule_is_that_of_the_config(tmp_path, schedule, curve, epoch, epochs, batch):
    first = first_run(tmp_path, schedule, batch=2)
    _, rates = resume(
        tmp_path,
        first / f'epoch_{epoch}.pth',
        schedule,
        {'max_epochs': epochs},
        steps=12,
        batch=batch,
    )
    steps = math.ceil(12 / batch)
    expected = [curve(step, steps, epochs) for step in range(epoch * steps, epochs * steps)]
    assert rates == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_iterations_are_counted_as_such(tmp_path):
    """With another batch too."""
    first = first_run(tmp_path, BY_ITERATION, {'max_iters': 6})
    _, rates = resume(
        tmp_path, first / 'iter_4.pth', BY_ITERATION, {'max_iters': 10}, steps=12, batch=3
    )
    assert rates == pytest.approx([(1 - i / 9) ** 2 for i in range(4, 10)], rel=1e-9, abs=1e-15)


def test_the_share_of_an_epoch_counts(tmp_path):
    """A checkpoint from the middle of the second of four epochs of 12 steps."""
    first = first_run(tmp_path)
    path = first / 'epoch_1.pth'
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['meta']['iter'] = 18
    torch.save(checkpoint, path)
    runner, rates = resume(tmp_path, path, COSINE, {'max_epochs': 4}, steps=12, batch=2)
    assert rates[:6] == pytest.approx([cosine(step, 6, 4) for step in range(9, 15)])
    assert runner.epoch == 4


def test_a_run_with_epochs_of_several_lengths(tmp_path):
    """MMEngine itself had resumed it with another batch: the number of the epoch counts."""
    path = first_run(tmp_path) / 'epoch_2.pth'
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['meta']['iter'] = 99
    torch.save(checkpoint, path)
    _, rates = resume(tmp_path, path, COSINE, {'max_epochs': 4}, steps=12)
    assert rates == pytest.approx([cosine(step, 12, 4) for step in range(24, 48)])


def same(a, b):
    assert a['state_dict'].keys() == b['state_dict'].keys()
    assert all(
        torch.equal(a['state_dict'][name], b['state_dict'][name]) for name in a['state_dict']
    )
    assert a['param_schedulers'] == b['param_schedulers']
    assert str(a['optimizer']) == str(b['optimizer'])


@pytest.mark.parametrize('schedule', [COSINE, BY_EPOCH])
def test_where_nothing_has_changed_nothing_is_touched(tmp_path, schedule, monkeypatch):
    first = first_run(tmp_path, schedule)
    monkeypatch.setattr('wamim_mm.hooks.resume._replay', None)
    _, rates = resume(tmp_path, first / 'epoch_2.pth', schedule, {'max_epochs': 4}, steps=12)
    assert len(rates) == 24
    same(
        *(
            torch.load(path / 'epoch_4.pth', weights_only=False)
            for path in (first, tmp_path / 'resumed')
        )
    )


def test_what_is_replayed_is_the_same_to_the_last_bit(tmp_path, monkeypatch):
    first = first_run(tmp_path)
    monkeypatch.setattr('wamim_mm.hooks.resume._constants', lambda schedulers: None)
    resume(tmp_path, first / 'epoch_2.pth', COSINE, {'max_epochs': 4}, steps=12)
    same(
        *(
            torch.load(path / 'epoch_4.pth', weights_only=False)
            for path in (first, tmp_path / 'resumed')
        )
    )


def test_the_optimizers_settings_follow_and_its_memory_stays(tmp_path, caplog):
    groups = {'bias_lr_mult': 2.0, 'norm_decay_mult': 0.0}
    optimizer = {'type': 'AdamW', 'lr': 1.0, 'weight_decay': 0.1}
    options = {'optim_wrapper': {'optimizer': optimizer, 'paramwise_cfg': groups}}
    first = first_run(tmp_path, **options)
    path = first / 'epoch_2.pth'
    optimizer = dict(optimizer, lr=3.0, betas=(0.8, 0.9), weight_decay=0.2)
    options = {'optim_wrapper': {'optimizer': optimizer, 'paramwise_cfg': groups}}
    caplog.set_level(logging.INFO)
    seen = {}

    class Look(ResumeHook):
        def before_train(self, runner):
            seen.update(runner.optim_wrapper.state_dict())
            seen['lr'] = [group['lr'] for group in runner.optim_wrapper.param_groups]
            seen['schedules'] = [s.base_values for s in runner.param_schedulers]

    small_run(
        tmp_path / 'resumed',
        COSINE,
        {'max_epochs': 4},
        steps=12,
        hooks=[Look()],
        load_from=str(path),
        resume=True,
        **options,
    )
    rate = cosine(24, 12, 4)
    assert seen['lr'] == pytest.approx([3 * rate, 6 * rate, 3 * rate])  # weight, bias, the base
    assert seen['schedules'] == [[3, 6, 3]] * 2
    assert [tuple(group['betas']) for group in seen['param_groups']] == [(0.8, 0.9)] * 2
    assert [group['weight_decay'] for group in seen['param_groups']] == [0.2, 0.2]
    saved = torch.load(path, weights_only=False)['optimizer']['state']
    assert seen['state'].keys() == saved.keys() and len(saved) == 2


# bfloat16 has no scale, and float16 refuses that there is none.
@pytest.mark.parametrize(('scaler', 'kept_scaler'), [({'scale': 8.0}, {'scale': 8.0}), ({}, None)])
def test_memory_and_loss_scale_survive(tmp_path, scaler, kept_scaler):
    """A resumed run that has nothing left to do has the checkpoint's, in a new schedule."""
    first = first_run(tmp_path)
    saved = torch.load(first / 'epoch_4.pth', weights_only=False)
    saved['optimizer']['loss_scaler'] = scaler
    kept = {index: state['exp_avg'].clone() for index, state in saved['optimizer']['state'].items()}
    torch.save(saved, first / 'epoch_4.pth')
    seen = []

    class Look(ResumeHook):
        def after_load_checkpoint(self, runner, checkpoint):
            super().after_load_checkpoint(runner, checkpoint)
            seen.append(checkpoint['optimizer'].get('loss_scaler'))

    runner, rates = small_run(
        tmp_path / 'resumed',
        COSINE,
        {'max_epochs': 4},
        steps=12,
        lr=2.0,
        hooks=[Look()],
        load_from=str(first / 'epoch_4.pth'),
        resume=True,
    )
    assert not rates and seen == [kept_scaler]
    state = runner.optim_wrapper.optimizer.state_dict()['state']
    assert all(torch.equal(state[index]['exp_avg'], kept[index]) for index in kept)
    assert runner.optim_wrapper.param_groups[0]['initial_lr'] == 2.0


def test_more_and_fewer_schedulers(tmp_path):
    first = first_run(tmp_path)
    _, rates = resume(
        tmp_path, first / 'epoch_2.pth', BY_EPOCH, {'max_epochs': 4}, steps=12, batch=2
    )
    assert rates == pytest.approx([stairs(step, 6, 4) for step in range(12, 24)])
    _, rates = resume(tmp_path, first / 'epoch_2.pth', [], {'max_epochs': 4}, steps=12, batch=2)
    assert rates == [1.0] * 12


class Told(ResumeHook):
    """Notes what the hook tells."""

    def before_run(self, runner):
        self.lines = []
        runner.logger.info = runner.logger.warning = lambda line, *_, **__: self.lines.append(line)


def told(tmp_path, checkpoint, schedule, length, **options):
    hook = Told()
    small_run(
        tmp_path / 'told',
        schedule,
        length,
        hooks=[hook],
        load_from=str(checkpoint),
        resume=True,
        **options,
    )
    return [line for line in hook.lines if '--resume' in line]


def test_a_line_says_what_changed(tmp_path):
    path = first_run(tmp_path) / 'epoch_2.pth'
    assert told(tmp_path, path, COSINE, {'max_epochs': 4}, steps=12) == []
    assert told(tmp_path, path, COSINE, {'max_epochs': 8}, steps=12, batch=2, lr=0.5) == [
        '--resume: what differs from the checkpoint follows the config: max_epochs 4 -> 8, '
        'iterations in an epoch 12 -> 6, AdamW lr 1 -> 0.5, schedule'
    ]


def test_a_config_says_what_is_counted():
    assert _was_by_iteration(dict(epoch=0, cfg="train_cfg = dict(max_iters=9, type='A')"), {})
    assert not _was_by_iteration(dict(epoch=0, cfg='a = 1\ntrain_cfg = dict(max_epochs=1)'), {})
    assert _was_by_iteration(dict(epoch=0), dict(max_epochs=1))
    assert not _was_by_iteration(dict(epoch=0), dict(max_epochs=2))
    assert not _was_by_iteration(dict(epoch=1), {})


def test_a_finished_run_says_so(tmp_path):
    path = first_run(tmp_path) / 'epoch_4.pth'
    assert told(tmp_path, path, COSINE, {'max_epochs': 4}, steps=12) == [
        '--resume: all 4 epochs of this run are done, there is nothing to train; to go on, give '
        'more: --cfg-options train_cfg.max_epochs=8'
    ]


def test_what_cannot_be_followed_is_refused(tmp_path):
    first = first_run(tmp_path)
    path = first / 'epoch_2.pth'
    with pytest.raises(
        ValueError, match='groups with 4 parameters, and in the checkpoint 1 with 2'
    ):
        resume(tmp_path, path, COSINE, {'max_epochs': 4}, model=Line(2))
    with pytest.raises(ValueError, match='counts epochs, and this config counts iterations; use'):
        resume(tmp_path, path, BY_ITERATION, {'max_iters': 4})
    sgd = {'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 1.0, 'momentum': 0.9}}}
    with pytest.raises(ValueError, match='of another optimizer than SGD, without momentum'):
        resume(tmp_path, path, COSINE, {'max_epochs': 4}, **sgd)
    whole = torch.load(path, weights_only=False)
    for part in ('meta', 'message_hub', 'optimizer'):
        torch.save({k: v for k, v in whole.items() if k != part}, first / 'part.pth')
        with pytest.raises(ValueError, match=rf'no {part}: it holds weights .* load_from=CHECKPO'):
            resume(tmp_path, first / 'part.pth', COSINE, {'max_epochs': 4})


def test_a_plateau_goes_on_as_it_was(tmp_path):
    schedule = [dict(type='ReduceOnPlateauLR', monitor='loss', rule='less')]
    path = first_run(tmp_path, schedule) / 'epoch_2.pth'
    lines = told(tmp_path, path, schedule, {'max_epochs': 4}, steps=12, lr=0.5)
    assert len(lines) == 1 and 'AdamW lr 1 -> 0.5' in lines[0] and 'plateau' in lines[0]


def test_a_scaled_learning_rate_follows_the_batch(tmp_path):
    scale = {'auto_scale_lr': dict(enable=True, base_batch_size=1)}
    path = first_run(tmp_path, **scale) / 'epoch_2.pth'
    _, rates = resume(tmp_path, path, COSINE, {'max_epochs': 4}, steps=12, batch=4, **scale)
    assert rates == pytest.approx([cosine(step, 3, 4, lr=4.0) for step in range(6, 12)])


def test_other_schedules_than_of_the_learning_rate(tmp_path):
    """AdamW's first beta and the weight decay, of a longer run with another batch."""
    schedule = [
        dict(type='PolyMomentum', convert_to_iter_based=True),
        dict(type='PolyParamScheduler', param_name='weight_decay', convert_to_iter_based=True),
    ]
    path = first_run(tmp_path, schedule) / 'epoch_3.pth'
    for note, start in (('betas', 0.9), ('weight_decay', 0.01)):
        _, values = resume(
            tmp_path, path, schedule, {'max_epochs': 6}, steps=12, batch=2, note=note
        )
        values = [value[0] if note == 'betas' else value for value in values]
        expected = [start * (1 - step / 35) for step in range(18, 36)]
        assert values == pytest.approx(expected, abs=1e-12)
