"""A run of another length keeps the shape of its schedule."""

import math
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config

from wamim_mm.cli.schedule import NEVER, follow_length, in_iterations

from ..small_runs import small_run

STEPS = 300  # in an epoch


def read(root, path):
    library, _, file = path.partition(':')
    if file:
        root = Path(find_spec(library).submodule_search_locations[0], '.mim', 'configs')
    return Config.fromfile(root / (file or path), import_custom_modules=False)


def curve(parts, share, length, lr):
    """The rate at a share of a run of ``length`` epochs or iterations, in closed form.

    Each part begins from what the one before it left behind.
    """
    factor, value = 1.0, lr
    for part in parts:
        unit = length
        if not part.get('by_epoch', True) and length < 1000:
            unit = length * STEPS  # mmdet's warm-up of 500 iterations
        now, begin, end = share * unit, part.get('begin', 0), part.get('end', unit)
        done = min(max(now - begin, 0) / (end - begin), 1)
        kind, floor = part['type'], part.get('eta_min', part.get('eta_min_ratio', 0) * lr)
        if kind == 'LinearLR':
            factor = part['start_factor'] + (1 - part['start_factor']) * done
        elif kind == 'CosineAnnealingLR':
            value = floor + (value - floor) * (1 + math.cos(math.pi * done)) / 2
        elif kind == 'PolyLR':
            value = floor + (value - floor) * (1 - done) ** part.get('power', 1)
        elif kind == 'MultiStepLR':
            value *= 0.1 ** sum(now >= milestone for milestone in part['milestones'])
        else:
            raise NotImplementedError(kind)
    return factor * value


SCHEDULES = [
    ('configs/_base_/schedules/adamw_400e.py', 2),
    ('configs/_base_/schedules/finetune_100e.py', 3),
    ('configs/_base_/schedules/lars_90e.py', 2),
    ('configs/_base_/schedules/mfm_300e.py', 4),
    ('configs/_base_/schedules/mfm_finetune_100e.py', 4),
    ('mmdet:_base_/schedules/schedule_1x.py', 2),
    ('mmdet:_base_/schedules/schedule_1x.py', 5),
    ('mmseg:_base_/schedules/schedule_160k.py', 900),
    ('mmpretrain:_base_/schedules/imagenet_bs256.py', 2),
    ('mmpretrain:_base_/schedules/imagenet_bs1024_adamw_swin.py', 2),
]


@pytest.mark.parametrize(('path', 'length'), SCHEDULES)
def test_the_rate_is_that_of_the_long_run_at_the_same_share(root, tmp_path, path, length):
    cfg, untouched = read(root, path), read(root, path)
    unit = 'max_epochs' if 'max_epochs' in cfg.train_cfg else 'max_iters'
    assert follow_length(cfg, {f'train_cfg.{unit}': length}).startswith(
        f'{untouched.train_cfg[unit]} -> {length} '
    )
    steps = STEPS if unit == 'max_epochs' else 10
    _, rates = small_run(tmp_path, cfg.param_scheduler, {unit: length}, steps=steps, every=10**6)
    total = length * STEPS if unit == 'max_epochs' else length
    assert len(rates) == total
    parts = untouched.param_scheduler
    parts = [parts] if isinstance(parts, dict) else parts
    for i, rate in enumerate(rates):
        # Between two steps it is either's; and a line of n points has n - 1 intervals.
        near = [curve(parts, (i + d) / total, untouched.train_cfg[unit], 1.0) for d in (-1, 0, 1)]
        assert min(near) - 0.004 <= rate <= max(near) + 0.004, i
    if parts[0]['type'] == 'LinearLR':
        # Whatever was shortened, the peak is reached: 1.1 % is where MFM's two factors multiply.
        assert max(rates) > 0.988


def test_exact_in_float64(root, tmp_path):
    """The closed form of adamw_400e in a run of 2 epochs of 300 steps: 60 of warm-up."""
    cfg = read(root, 'configs/_base_/schedules/adamw_400e.py')
    line = follow_length(cfg, {'train_cfg.max_epochs': 2})
    assert line == '400 -> 2 epochs: LinearLR end 40 -> 0.2; CosineAnnealingLR begin 40 -> 0.2'
    _, rates = small_run(tmp_path, cfg.param_scheduler, {'max_epochs': 2}, 300, lr=1.6e-3)
    line = [1.6e-3 * (1e-4 + (1 - 1e-4) * i / 59) for i in range(60)]
    fall = [0.8e-3 * (1 + math.cos(math.pi * i / 540)) for i in range(540)]
    assert rates == pytest.approx(line + fall, rel=1e-9)


def test_what_the_options_set_stays(root):
    options = {
        'train_cfg.max_epochs': 10,
        'param_scheduler.0.end': 3,
        'custom_hooks.0.begin_epoch': 7,
    }
    cfg = read(root, 'configs/_base_/schedules/adamw_400e.py')
    cfg.custom_hooks = [dict(type='EMAHook', begin_epoch=200)]
    assert follow_length(cfg, options) == '400 -> 10 epochs: CosineAnnealingLR begin 40 -> 1'
    cfg.merge_from_dict(options)
    assert cfg.param_scheduler[0].end == 3 and cfg.custom_hooks[0].begin_epoch == 7
    cfg = read(root, 'configs/_base_/schedules/adamw_400e.py')
    options = {'train_cfg.max_epochs': 10, 'param_scheduler': []}
    assert follow_length(cfg, options) == '400 -> 10 epochs'


def test_the_dumped_config_is_the_effective_one(root, tmp_path):
    cfg = read(root, 'configs/_base_/schedules/finetune_100e.py')
    options = {'train_cfg.max_epochs': 10}
    follow_length(cfg, options)
    cfg.merge_from_dict(options)
    cfg.dump(tmp_path / 'config.py')
    again = Config.fromfile(tmp_path / 'config.py')
    assert follow_length(again, options) is None
    assert again.to_dict() == cfg.to_dict()
    assert again.param_scheduler[1].begin == 2
    # And from there to another length.
    follow_length(again, {'train_cfg.max_epochs': 100})
    assert again.param_scheduler[1].begin == 20


def test_hooks_and_loops_go_along(root):
    cfg = read(root, 'mmdet:rtmdet/rtmdet_s_8xb32-300e_coco.py')
    follow_length(cfg, {'train_cfg.max_epochs': 30})
    assert cfg.train_cfg.dynamic_intervals == [(28, 1)]
    (switch,) = (hook for hook in cfg.custom_hooks if hook.type == 'PipelineSwitchHook')
    assert switch.switch_epoch == 28
    cfg = Config(
        dict(
            train_cfg=dict(max_iters=1000, val_begin=500),
            default_hooks=dict(ema=dict(type='EMAHook', begin_iter=100), other=None),
            custom_hooks=[dict(type='YOLOXModeSwitchHook', num_last_epochs=15)],
        )
    )
    assert follow_length(cfg, {'train_cfg.max_iters': 100}) == (
        '1000 -> 100 iterations: train_cfg val_begin 500 -> 50; default_hooks.ema begin_iter '
        '100 -> 10; YOLOXModeSwitchHook num_last_epochs 15 -> 2'
    )


@pytest.mark.parametrize(
    ('config', 'key', 'length', 'saves', 'validates'),
    [
        ('seg/upernet_wamim-vit-b_160k_ade20k-512x512', 'max_iters', 8000, 800, 800),
        ('seg/upernet_wamim-vit-b_160k_ade20k-512x512', 'max_iters', 16000, 16000, 16000),
        ('pretrain/wamim_vit-s', 'max_epochs', 8, 1, None),
        ('pretrain/wamim_vit-s', 'max_epochs', 20, 10, None),
    ],
)
def test_a_run_shorter_than_its_intervals_saves_on_its_way(
    root, config, key, length, saves, validates
):
    cfg = Config.fromfile(root / f'configs/{config}.py')
    said = follow_length(cfg, {f'train_cfg.{key}': length})
    assert cfg.default_hooks.checkpoint.interval == saves
    assert cfg.train_cfg.get('val_interval') == validates
    assert ('checkpoint interval' in said) == (saves < 10 or saves == 800)


def test_intervals_of_another_unit_and_of_the_options_stay():
    for options in ({}, {'default_hooks.checkpoint.interval': 50, 'train_cfg.val_interval': 50}):
        hook = dict(type='CheckpointHook', interval=50, by_epoch=bool(options))
        cfg = Config(dict(default_hooks=dict(checkpoint=hook), train_cfg=dict(max_epochs=100)))
        cfg.train_cfg.val_interval = 50 if options else 5
        follow_length(cfg, {'train_cfg.max_epochs': 10, **options})
        assert cfg.default_hooks.checkpoint.interval == 50
        assert cfg.train_cfg.val_interval == (50 if options else 5)


def test_recipes_that_come_to_begin_together_are_one():
    schedule = [
        dict(action_epoch=1, loss='a'),
        dict(action_epoch=40, batch_augments=None),
        dict(action_epoch=60, loss='b'),
        dict(action_epoch=300, loss='c'),
    ]
    cfg = Config(
        dict(
            train_cfg=dict(max_epochs=300),
            custom_hooks=[dict(type='SwitchRecipeHook', schedule=schedule)],
        )
    )
    follow_length(cfg, {'train_cfg.max_epochs': 9})
    assert [dict(recipe) for recipe in cfg.custom_hooks[0].schedule] == [
        dict(action_epoch=1, loss='a'),
        dict(action_epoch=2, batch_augments=None),
        dict(action_epoch=3, loss='b'),
        dict(action_epoch=10, loss='c'),
    ]


@pytest.mark.parametrize(
    ('part', 'expected'),
    [
        (dict(type='StepLR', step_size=30), dict(step_size=1.5)),
        (dict(type='OneCycleLR', total_steps=100), dict(total_steps=5)),
        (dict(type='CosineRestartLR', periods=[10, 90]), dict(periods=[0.5, 4.5])),
        (dict(type='CosineAnnealingMomentum', T_max=50, end=50), dict(T_max=2.5, end=2.5)),
        (dict(type='mmengine.PolyLR', end=90), dict(end=4.5)),
        (dict(type='LinearLR', by_epoch=False, end=500), dict(end=25, by_epoch=False)),
        (dict(type='ExponentialLR', gamma=0.99), dict(gamma=0.99 ** (1 / (5 / 100)))),
        (dict(type='ReduceOnPlateauLR', begin=10), dict(begin=0)),
        (dict(type='ConstantLR', end=int(1e9)), dict(end=int(1e9))),
    ],
    ids=str,
)
def test_every_scheduler(part, expected):
    for wrapped in (part, [part], dict(encoder=[part])):
        cfg = Config(dict(train_cfg=dict(max_epochs=100), param_scheduler=wrapped))
        follow_length(cfg, {'train_cfg.max_epochs': 5})
        found = cfg.param_scheduler
        found = found.encoder if 'encoder' in found else found
        found = found[0] if isinstance(found, list) else found
        assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    'part',
    [
        dict(type='StepLR', step_size=3),
        dict(type='MultiStepLR', milestones=[3, 7, 9]),
        dict(type='OneCycleLR', total_steps=10, eta_max=0.1),
        dict(type='OneCycleLR', total_steps=7, eta_max=0.1, begin=3),
        dict(type='CosineRestartLR', periods=[3, 7], restart_weights=[1, 0.5], eta_min=0),
        dict(type='CosineAnnealingLR', begin=3, T_max=7),
        dict(type='ConstantLR', begin=1, end=7),
        dict(type='PolyLR', begin=3, power=0.9),
        dict(type='mmdet.QuadraticWarmupLR', end=3),
    ],
    ids=str,
)
def test_as_many_steps_in_fewer_epochs_are_the_same_steps(tmp_path, part):
    """10 epochs of 12 steps, and those shortened to 4 of 30."""
    pytest.importorskip('mmdet.registry').PARAM_SCHEDULERS.import_from_location()
    cfg = Config(
        dict(train_cfg=dict(max_epochs=10), param_scheduler=dict(part, convert_to_iter_based=True))
    )
    _, long = small_run(tmp_path / 'a', cfg.param_scheduler, {'max_epochs': 10}, steps=12)
    follow_length(cfg, {'train_cfg.max_epochs': 4})
    _, short = small_run(tmp_path / 'b', cfg.param_scheduler, {'max_epochs': 4}, steps=30)
    assert short == pytest.approx(long, rel=1e-9, abs=1e-12) and len(set(short)) > 1


def test_the_same_decay_in_fewer_epochs():
    """Exponential: where the long run ends, the short one does."""
    cfg = Config(
        dict(train_cfg=dict(max_epochs=100), param_scheduler=dict(type='ExponentialLR', gamma=0.97))
    )
    follow_length(cfg, {'train_cfg.max_epochs': 4})
    assert cfg.param_scheduler.gamma**4 == pytest.approx(0.97**100)


@pytest.mark.parametrize(
    ('part', 'steps', 'left'),
    [
        (dict(end=0.2, convert_to_iter_based=True), 4, '0 to 1'),
        # A warm-up of one step would leave the rate at its start.
        (dict(end=0.2, convert_to_iter_based=True), 5, '0 to 1'),
        (dict(end=0.2, convert_to_iter_based=True), 10, None),
        (dict(end=1, convert_to_iter_based=True), 1, '0 to 1'),
        (dict(end=1, convert_to_iter_based=True), 2, None),
        (dict(by_epoch=False, end=1), 10, '0 to 1'),
        (dict(by_epoch=False, begin=17), 3, '17 to 6'),
        (dict(by_epoch=False, begin=17), 10, None),
        (dict(end=1), 1, None),
        (dict(begin=2), 10, '2 to 2'),
    ],
)
def test_a_part_that_shrinks_to_nothing_is_left_out(part, steps, left):
    """In a run of two epochs."""
    found, warnings = in_iterations(dict(part, type='LinearLR'), steps, 2, 2 * steps)
    said = f'too short in this run, and left out: LinearLR from {left}'
    assert warnings == ([] if left is None else [said])
    assert len(found) + len(warnings) == 1


@pytest.mark.parametrize(
    ('part', 'said'),
    [
        (dict(by_epoch=False, end=20), None),
        (dict(by_epoch=False, end=500), '0 to 500 iterations does not come to its end, the run ha'),
        (dict(by_epoch=False, begin=5, end=21), '5 to 21 iterations does not come to its end, the'),
        (dict(end=2, convert_to_iter_based=True), None),
        (dict(end=2.5, convert_to_iter_based=True), '0 to 2.5 epochs does not come to its end'),
        (dict(end=3), '0 to 3 epochs does not come to its end, the run has 2: give that scheduler'),
        (dict(end=NEVER), None),
        (dict(), None),
    ],
)
def test_a_part_that_the_run_ends_before(part, said):
    """As MMDetection's warm-up of 500 iterations on a few images; two epochs of ten steps."""
    (kept,), warnings = in_iterations(dict(part, type='LinearLR'), 10, 2, 20)
    assert kept['type'] == 'LinearLR' and len(warnings) == (said is not None)
    assert said is None or said in warnings[0]


def test_parts_that_end_together_still_do():
    """Warm-up and cosine are rounded to iterations, the cosine's period with its end."""
    for steps in range(2, 60):
        begin, period = 0.1, 1.9
        part = dict(begin=begin, T_max=period, end=2, convert_to_iter_based=True)
        ((part,), _) = in_iterations(dict(type='CosineAnnealingLR', **part), steps, 2, 2 * steps)
        assert part['end'] == 2 * steps and part['T_max'] == part['end'] - part['begin']


@pytest.mark.parametrize('length', ['ten', 0, -1, 1.5, None, True])
def test_lengths_that_cannot_be(root, length):
    cfg = read(root, 'configs/_base_/schedules/adamw_400e.py')
    with pytest.raises(ValueError, match=rf'train_cfg.max_epochs={length}: must be a whole number'):
        follow_length(cfg, {'train_cfg.max_epochs': length})
