"""Sharded runs on two processes take the steps that DDP takes."""

import json

import pytest
import torch
from mmengine.optim import AmpOptimWrapper

from wamim_mm.demo.scenes import make_scenes
from wamim_mm.export import export_backbone
from wamim_mm.strategies.fsdp2 import autocast_dtype

from .two_ranks import train

AGAIN = 'activation_checkpointing=[backbone.layers]'
SHARD = 'strategy.type=FSDP2Strategy'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """8 scenes to train on: two steps of two images on each of two processes."""
    out = tmp_path_factory.mktemp('data') / 'scenes'
    make_scenes(out, 12, size=128, val_fraction=0.34)
    return out


@pytest.fixture
def command(scenes, tmp_path):
    """The arguments of a run of two epochs, by its name."""

    def arguments(name, *options, model='vit', more=()):
        return [
            f'configs/demo/wamim_{model}.py',
            '--work-dir',
            tmp_path / name,
            *more,
            '--cfg-options',
            f'data_root={scenes}',
            f'experiment_name={name}',
            'randomness.seed=1',
            'train_cfg.max_epochs=2',
            'train_dataloader.batch_size=2',
            'train_dataloader.num_workers=0',
            'train_dataloader.persistent_workers=False',
            'default_hooks.logger.interval=1',
            'default_hooks.checkpoint.max_keep_ckpts=2',
            *options,
        ]

    return arguments


@pytest.mark.parametrize(
    ('wrapper', 'dtype'),
    [
        ({}, None),
        (dict(type='OptimWrapper'), None),
        (dict(type='AmpOptimWrapper', dtype='float16'), torch.float16),
        (dict(type=AmpOptimWrapper, dtype='bfloat16'), torch.bfloat16),
        (dict(type='CPUAmpOptimWrapper'), torch.bfloat16),
    ],
)
def test_type_in_which_blocks_are_gathered(wrapper, dtype, monkeypatch):
    monkeypatch.setattr('wamim_mm.strategies.fsdp2.get_device', lambda: 'cpu')
    assert autocast_dtype(wrapper) is dtype


def losses(work_dir):
    (file,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in file.read_text().splitlines()]


def saved(work_dir, epoch=2):
    return torch.load(work_dir / f'epoch_{epoch}.pth', weights_only=False)


def assert_same_end(one, other, epoch=2, **close):
    """The same last weights, states of the optimizer and settings, by the same names."""
    one, other = saved(one, epoch), saved(other, epoch)
    assert list(one['state_dict']) == list(other['state_dict'])
    for name, tensor in one['state_dict'].items():
        assert type(other['state_dict'][name]) is torch.Tensor
        torch.testing.assert_close(other['state_dict'][name], tensor, **close)
    states, others = (part['optimizer'] for part in (one, other))
    assert states['param_groups'] == others['param_groups']
    assert states['state'].keys() == others['state'].keys()
    for number, state in states['state'].items():
        for key, value in state.items():
            torch.testing.assert_close(others['state'][number][key], value, **close)
    assert one['param_schedulers'] == other['param_schedulers']
    assert one['meta']['iter'] == other['meta']['iter']


def test_vit_equals_ddp_and_goes_on(command, tmp_path):
    clip = (
        'optim_wrapper.clip_grad.max_norm=0.5',
        'optim_wrapper.optimizer.eps=1e-4',
        'default_hooks.not_finite.type=NotFinite',
    )
    done = train(
        tmp_path,
        command('ddp', *clip),
        command('sharded', *clip, SHARD),
        command('again', *clip, SHARD, more=['--resume', tmp_path / 'sharded/epoch_1.pth']),
        command('to_ddp', *clip, more=['--resume', tmp_path / 'sharded/epoch_1.pth']),
    )
    assert done == [[0] * 4] * 2, (tmp_path / 'rank0.txt').read_text()
    close = dict(rtol=0, atol=1e-5)
    for ours, theirs in zip(losses(tmp_path / 'sharded'), losses(tmp_path / 'ddp'), strict=True):
        for name in ('loss', 'loss_level2', 'grad_norm', 'lr'):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-5, nan_ok=True), name
    assert_same_end(tmp_path / 'ddp', tmp_path / 'sharded', **close)
    for name in ('again', 'to_ddp'):
        assert_same_end(tmp_path / 'sharded', tmp_path / name, **close)
    checkpoint = saved(tmp_path / 'sharded')
    assert checkpoint['message_hub']['runtime_info']['skipped_steps'] == 1
    # What reads checkpoints knows nothing of the strategy.
    export_backbone(str(tmp_path / 'sharded/epoch_2.pth'), tmp_path / 'out.pth', 'mmpretrain')
    exported = torch.load(tmp_path / 'out.pth', weights_only=False)['state_dict']
    for name, tensor in checkpoint['state_dict'].items():
        if name.startswith('backbone.'):
            assert torch.equal(exported[name], tensor)


def test_swin_equals_ddp(command, tmp_path):
    """With activations that are computed again."""
    short = ('train_cfg.max_epochs=1', 'optim_wrapper.optimizer.eps=1e-4')
    again = 'activation_checkpointing=[backbone.stages.0.blocks,backbone.stages.1.blocks]'
    done = train(
        tmp_path,
        command('ddp', *short, model='swin'),
        command('sharded', *short, SHARD, again, model='swin'),
    )
    assert done == [[0] * 2] * 2, (tmp_path / 'rank0.txt').read_text()
    for ours, theirs in zip(losses(tmp_path / 'sharded'), losses(tmp_path / 'ddp'), strict=True):
        assert ours['loss'] == pytest.approx(theirs['loss'], abs=1e-5)
    assert_same_end(tmp_path / 'ddp', tmp_path / 'sharded', epoch=1, rtol=0, atol=1e-5)


def test_mixed_precision_and_accumulation(command, tmp_path):
    options = ('optim_wrapper.accumulative_counts=2', 'optim_wrapper.optimizer.eps=1e-4')
    amp = ['--amp', 'bf16']
    done = train(
        tmp_path,
        command('ddp', *options, more=amp),
        command('sharded', *options, SHARD, AGAIN, more=amp),
    )
    assert done == [[0] * 2] * 2, (tmp_path / 'rank0.txt').read_text()
    for ours, theirs in zip(losses(tmp_path / 'sharded'), losses(tmp_path / 'ddp'), strict=True):
        assert ours['loss'] == pytest.approx(theirs['loss'], abs=1e-5)
    assert_same_end(tmp_path / 'ddp', tmp_path / 'sharded', rtol=0, atol=1e-5)


CLASSIFIER = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64),
        img_size=64,
        patch_size=16,
        out_type='avg_featmap',
    ),
    head=dict(type='LinearClsHead', num_classes={classes}, in_channels=32),
    data_preprocessor=dict(mean=[127] * 3, std=[127] * 3, num_classes={classes}),
)
train_dataloader = val_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CustomDataset',
        data_root='{root}',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(64, 64)),
            dict(type='PackInputs'),
        ],
    ),
)
train_cfg = dict(by_epoch=True, max_epochs=1)
val_cfg = dict()
val_evaluator = dict(type='Accuracy', topk=(1,))
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.001))
"""


def test_it_validates_in_mixed_precision(scenes, tmp_path):
    """Blocks are gathered in bfloat16 then too, where MMEngine's loop computes in float32."""
    classes = sum(1 for folder in (scenes / 'train').iterdir() if folder.is_dir())
    config = tmp_path / 'classifier.py'
    config.write_text(CLASSIFIER.format(classes=classes, root=scenes / 'train'))
    arguments = [config, '--amp', 'bf16', '--cfg-options', 'randomness.seed=1']
    done = train(
        tmp_path,
        [*arguments, 'experiment_name=ddp', f'work_dir={tmp_path / "ddp"}'],
        [*arguments, 'experiment_name=sharded', f'work_dir={tmp_path / "sharded"}', SHARD],
    )
    assert done == [[0] * 2] * 2, (tmp_path / 'rank0.txt').read_text()
    scores = [losses(tmp_path / name)[-1]['accuracy/top1'] for name in ('ddp', 'sharded')]
    assert scores[0] == pytest.approx(scores[1], abs=15)  # two of 12 images
