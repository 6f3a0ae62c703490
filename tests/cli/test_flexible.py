"""A config's ``strategy``: MMEngine's FlexibleRunner, with all that its Runner has."""

import copy

import pytest
import torch
from mmengine._strategy import SingleDeviceStrategy
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmpretrain.registry import MODELS

from wamim_mm.cli.arguments import check_arguments
from wamim_mm.cli.errors import explain
from wamim_mm.cli.flexible import QuietFlexibleRunner, check_strategy, make_runner
from wamim_mm.cli.screen import QuietRunner
from wamim_mm.cli.settings import check_recomputed
from wamim_mm.hooks import CheckpointFitHook, ResumeHook

from ..hooks.test_missed_validation import Weight
from ..hooks.test_missed_validation import run as validate
from ..small_runs import Line, small_run

pytestmark = pytest.mark.usefixtures('own_instances')


SCHEDULE = [dict(type='LinearLR', start_factor=0.1, begin=0, end=0.5, convert_to_iter_based=True)]
ONE_DEVICE = dict(kind=QuietFlexibleRunner, strategy=dict(type='SingleDeviceStrategy'))


def run(folder, epochs, resume=None, again=(), **options):
    """Train a line; what its last checkpoint holds, and the learning rates."""
    runner, rates = small_run(
        folder,
        SCHEDULE,
        dict(max_epochs=epochs),
        hooks=[ResumeHook(), CheckpointFitHook(strict=bool(resume))],
        model=Line(2),
        lr=0.01,
        resume=bool(resume),
        cfg=Config(dict(activation_checkpointing=list(again))),
        # MMEngine adds to the strategy's dict.
        **copy.deepcopy(dict(load_from=resume) | options),
    )
    assert type(runner) is options.get('kind', QuietRunner)
    assert all(hasattr(runner.model.get_submodule(name).forward, '__wrapped__') for name in again)
    return torch.load(folder / f'epoch_{epochs}.pth', weights_only=False), rates


def assert_same(one, other):
    (ours, rates), (theirs, other_rates) = one, other
    for part in ('state_dict', 'optimizer'):
        torch.testing.assert_close(ours[part], theirs[part], rtol=0, atol=0)
    assert ours['param_schedulers'] == theirs['param_schedulers']
    assert ours['meta']['iter'] == theirs['meta']['iter'] and rates == other_rates


def test_it_takes_the_steps_of_the_runner(tmp_path):
    """With activations that are computed again, and a schedule in a fraction of an epoch."""
    one = run(tmp_path / 'runner', 2)
    assert_same(one, run(tmp_path / 'ours', 2, again=['layers.1'], **ONE_DEVICE))
    assert one[1][0] == pytest.approx(0.001) and one[1][3] == pytest.approx(0.01)
    # It goes on from the other's checkpoint, and follows another length.
    path = str(tmp_path / 'runner/epoch_2.pth')
    assert_same(
        run(tmp_path / 'longer', 3, resume=path),
        run(tmp_path / 'ours_longer', 3, resume=path, **ONE_DEVICE),
    )
    assert_same(
        run(tmp_path / 'from', 1, load_from=path),
        run(tmp_path / 'ours_from', 1, load_from=path, **ONE_DEVICE),
    )


@pytest.mark.parametrize(
    ('again', 'said'),
    [
        (['layer.1'], "'layer.1' is no module .*: Line has .*layers.* did you mean 'layers'"),
        (['layers.5'], "'layers.5' is no module of the model: .* has 0, 1"),
        ('layers.x', "'layers.x' is no module"),
        (True, 'activation_checkpointing=True must be names of modules'),
        (False, 'activation_checkpointing=False must be'),
    ],
)
def test_modules_that_are_not_there(again, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        check_recomputed(Line(2), again)
    cfg = Config(dict(activation_checkpointing=again))
    with pytest.raises(ValueError, match=said):
        small_run(
            tmp_path,
            [],
            dict(max_epochs=1),
            model=Line(2),
            lr=0.01,
            cfg=cfg,
            **copy.deepcopy(ONE_DEVICE),
        )


@pytest.mark.parametrize('name', ['wamim_vit', 'wamim_swin'])
def test_modules_that_encoding_visible_tokens_does_not_call(name):
    model = MODELS.build(Config.fromfile(f'configs/demo/{name}.py').model)
    blocks = 'backbone.layers' if name == 'wamim_vit' else 'backbone.stages.0.blocks'
    for part in (blocks, f'{blocks}.0', 'neck'):
        check_recomputed(model, [part])
    for part in ('backbone', *(['backbone.stages', 'backbone.stages.1'] * (name != 'wamim_vit'))):
        with pytest.raises(ValueError, match=rf"'{part}' would change nothing.*backbone\.layers"):
            check_recomputed(model, [part])


def test_all_batches_of_a_step_count(tmp_path):
    """Where the learning rate is scaled to the batch."""

    def run_it(name, **options):
        wrapper = dict(optimizer=dict(type='AdamW', lr=0.01), accumulative_counts=3)
        scale = dict(enable=True, base_batch_size=6)
        return run(tmp_path / name, 1, auto_scale_lr=scale, optim_wrapper=wrapper, **options)

    one = run_it('runner')
    assert_same(one, run_it('ours', **ONE_DEVICE))
    assert one[1][-1] == pytest.approx(0.005)


def test_jobs_that_do_not_train_need_no_strategy(tmp_path):
    cfg = Config.fromfile('configs/demo/wamim_vit.py')
    cfg.merge_from_dict(dict(work_dir=str(tmp_path), strategy=dict(type='FSDP2Strategy')))
    cfg.launcher = 'none'
    assert type(make_runner(cfg, trains=False)) is QuietRunner
    with pytest.raises(ValueError, match='there is one process alone') as error:
        make_runner(cfg, trains=True)
    assert explain(error.value) == str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('kind', 'launcher', 'error', 'message'),
    [
        ('DeepSpeedStrategy', 'pytorch', ImportError, 'pip install deepspeed, or set'),
        ('ColossalAIStrategy', 'none', ImportError, 'colossalai is not installed'),
        ('FSDPStrategy', 'slurm', ValueError, 'set strategy.type=FSDP2Strategy'),
        ('mmengine.FSDPStrategy', 'slurm', ValueError, 'set strategy.type=FSDP2Strategy'),
        ('DDPStrategy', 'none', ValueError, 'DDPStrategy: there is one process alone'),
        ('SingleDeviceStrategy', 'mpi', ValueError, 'of --launcher mpi would train a model of its'),
        (None, 'none', ValueError, 'strategy: it has no type'),
    ],
)
def test_refused_strategies(kind, launcher, error, message):
    with pytest.raises(error, match=message):
        check_strategy(dict(type=kind), launcher)


def test_mistyped_arguments_of_a_strategy():
    cfg = Config(dict(strategy=dict(type='FSDP2Strategy', block=['A'])))
    with pytest.raises(ValueError, match=r'has no block; did you mean strategy\.blocks\?'):
        check_arguments(cfg, ['strategy.block'])


def test_refused_hooks(tmp_path, monkeypatch):
    refused = {'EMAHook': 'it is alone', 'compile': 'it is a graph'}
    monkeypatch.setattr(SingleDeviceStrategy, 'refused', refused, raising=False)
    message = 'EMAHook does not work with strategy.type=SingleDeviceStrategy: it is alone'
    length = dict(max_epochs=1)
    with pytest.raises(ValueError, match=message):
        small_run(tmp_path / 'hook', [], length, custom_hooks=[dict(type='EMAHook')], **ONE_DEVICE)
    compiled = Config(dict(compile=True))
    with pytest.raises(ValueError, match=r'compile does not work with .* it is a graph'):
        small_run(tmp_path / 'compiled', [], length, cfg=compiled, **ONE_DEVICE)


@pytest.mark.parametrize('length', [dict(max_epochs=3), dict(max_iters=6, val_interval=2)])
def test_a_save_after_a_validation_says_what_was_reached(length, tmp_path):
    """A new best score lets CheckpointHook save the last checkpoint once more."""
    hook = CheckpointHook(
        by_epoch='max_epochs' in length,
        interval=1 if 'max_epochs' in length else 2,
        save_best='weight',
        rule='less',
    )
    validate(tmp_path, length, Weight(), hooks=[hook], **copy.deepcopy(ONE_DEVICE))
    reached = {
        path.name: tuple(torch.load(path, weights_only=False)['meta'][k] for k in ('epoch', 'iter'))
        for path in tmp_path.glob('*.pth')
        if not path.name.startswith('best')
    }
    if 'max_epochs' in length:
        assert reached == {f'epoch_{n}.pth': (n, 6 * n) for n in (1, 2, 3)}
    else:
        assert reached == {f'iter_{n}.pth': (0, n) for n in range(1, 7)}
