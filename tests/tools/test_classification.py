"""From a pre-training checkpoint to top-1 and top-5, through the commands."""

import json
import re
import sys

import pytest

from .commands import TINY, run, steps, train

SMALL = """
_base_ = '{config}'

arch = dict(embed_dims=192, num_layers=6, num_heads=6, feedforward_channels=768)
model = dict(
    data_preprocessor=dict(num_classes=12),
    backbone=dict(
        arch=dict(_delete_=True, **arch), img_size=128, init_cfg=dict(checkpoint='{checkpoint}')
    ),
    head=dict(num_classes=12, in_channels=192),
)
train_dataloader = dict(dataset=dict(type='CustomDataset'))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(type='CustomDataset'))
test_dataloader = val_dataloader
"""


def test_fine_tune_and_test(root, scenes, tmp_path):
    options = [f'data_root={scenes}', *TINY]
    done = train(root, 'configs/demo/wamim_vit.py', tmp_path / 'pretrain', options=options)
    assert done.returncode == 0, done.stdout + done.stderr

    config = tmp_path / 'small.py'
    config.write_text(
        SMALL.format(
            config=root / 'configs' / 'cls' / 'wamim_vit-b_finetune.py',
            checkpoint=tmp_path / 'pretrain' / 'epoch_1.pth',
        )
    )
    printed = 'optim_wrapper.paramwise_cfg.print_groups=True'
    done = train(root, config, tmp_path / 'finetune', options=[*options, printed])
    assert done.returncode == 0, done.stdout + done.stderr
    # All but the norm behind the mean, which is new in fine-tuning.
    loaded, tensors = map(int, re.search(r'loaded (\d+) of (\d+) backbone', done.stdout).groups())
    assert loaded == tensors - 2 and '2 (ln2.weight, ln2.bias) new by design' in done.stdout
    assert 'backbone.layers.5.attn.qkv.weight' in done.stdout  # the table
    *training, validation = steps(tmp_path / 'finetune')
    # Of 100 epochs this is one, and a fifth of its six steps is no warm-up: the cosine remains.
    assert len(training) == 6 and training[0]['base_lr'] == 2e-3
    assert training[-1]['base_lr'] < 0.2 * training[0]['base_lr']

    out = tmp_path / 'metrics.json'
    checkpoint = tmp_path / 'finetune' / 'epoch_1.pth'
    done = run(
        root,
        [sys.executable, 'tools/test.py', config, checkpoint, '--out', out]
        + ['--work-dir', tmp_path / 'test', '--cfg-options', f'data_root={scenes}'],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'accuracy/top1: ' in done.stdout and 'accuracy/top5: ' in done.stdout
    metrics = json.loads(out.read_text())
    assert metrics == pytest.approx({key: validation[key] for key in metrics})
    assert 0 <= metrics['accuracy/top1'] <= metrics['accuracy/top5'] <= 100
