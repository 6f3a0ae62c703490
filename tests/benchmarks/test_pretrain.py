"""python -m benchmarks.pretrain, with encoders of one or two blocks a stage."""

import json
import math
import multiprocessing
import statistics
import time

import pytest
import torch
from mmpretrain.registry import MODELS

from benchmarks import pretrain, training

VIT = dict(embed_dims=48, num_layers=4, num_heads=2, feedforward_channels=96)
SWIN = dict(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2])
SMALL = {
    'wamim': {
        'vit-b': {'backbone.arch': VIT, 'backbone.out_indices': [0, 1, 2, 3]},
        'swin-b': {'backbone.arch': SWIN},
    },
    'mfm': {'vit-b': {'backbone.arch': VIT}, 'swin-b': {'backbone.arch': SWIN}},
    'mae': {
        'vit-b': {
            'backbone.arch': VIT,
            'neck.embed_dim': 48,
            'neck.decoder_embed_dim': 32,
            'neck.decoder_depth': 1,
        }
    },
    'simmim': {'swin-b': {'backbone.arch': SWIN, 'neck.in_channels': 128}},
    'simmim-w6': {'swin-b': {'backbone.arch': SWIN, 'neck.in_channels': 128}},
    'maskfeat': {'vit-b': {'backbone.arch': VIT, 'neck.in_channels': 48}},
    'mixmim': {
        'swin-b': {
            'backbone.arch': dict(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2]),
            'neck.embed_dim': 128,
            'neck.decoder_embed_dim': 32,
            'neck.decoder_depth': 1,
        }
    },
}
# The parts that a step of each method is made of, apart from those that all have.
OWN_PARTS = {
    'wamim': {'decoder', 'targets'},  # the loader's workers make the masks
    'mfm': {'masking', 'decoder'},
    'mae': {'masking', 'decoder', 'targets'},
    'simmim': {'decoder'},
    'simmim-w6': {'decoder'},
    'maskfeat': {'decoder', 'targets'},
    'mixmim': {'masking', 'decoder', 'targets'},
}
ALL_PARTS = {'data', 'encoder', 'loss', 'backward', 'optimizer', 'other'}


def small_config(load_config, method, backbone):
    """The benchmark's config of a method with its model made small."""
    cfg = load_config(method, backbone)
    if cfg is not None:
        for key, value in SMALL[method][backbone].items():
            owner, name = key.split('.')
            cfg.model[owner][name] = value
    return cfg


@pytest.fixture
def small(monkeypatch):
    """The commands take small models."""
    full = pretrain.load_config
    monkeypatch.setattr(pretrain, 'load_config', lambda *names: small_config(full, *names))


@pytest.mark.parametrize(
    ('method', 'backbone'), [(m, b) for m, found in SMALL.items() for b in found]
)
def test_parts_of_a_step(method, backbone):
    cfg = small_config(training.load_config, method, backbone)
    steps = training.Training(cfg, training.Settings(batch=2, device='cpu'))
    found = steps.prepare()
    assert found['flops_per_image'] > 1e6
    parts = found['parts']
    assert list(parts) == training.PARTS
    spent = {part for part, seconds in parts.items() if seconds > 0}
    assert spent == {*ALL_PARTS, *OWN_PARTS[method]}
    assert 'forward' not in vars(steps.inner.backbone)  # nothing is timed in the rounds
    steps.reset_peak()
    assert steps.round() > 0
    assert steps.peak() < 2e9  # may be negative here: earlier tests' memory goes back as well


def test_flops_are_those_of_the_formula():
    """A dense ViT: layers of width 48 and 96, 4 blocks, 197 tokens, patches of 768 values."""
    cfg = small_config(training.load_config, 'mfm', 'vit-b')
    found = training.Training(cfg, training.Settings(batch=2, device='cpu')).prepare()
    patches = 196 * 768 * 48
    blocks = 4 * 197 * (4 * 48**2 + 2 * 48 * 96)
    attention = 4 * 2 * 197**2 * 48
    # The images have no gradient. Fused attention computes its scores a second time.
    expected = 2 * (2 * patches + 3 * blocks + 3.5 * attention + 3 * patches)
    assert found['flops_per_image'] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ('backbone', 'plain'),
    [
        ('vit-b', dict(type='VisionTransformer', arch='base', img_size=224, patch_size=16)),
        ('swin-b', dict(type='SwinTransformer', arch='base', img_size=224, window_size=7)),
    ],
)
def test_encoders_are_equal(monkeypatch, backbone, plain):
    """At full size: the tensors of mmpretrain's own encoder, apart from what masking adds."""
    monkeypatch.setattr(torch.nn.Linear, 'reset_parameters', lambda self: None)  # takes seconds
    # Swin has a norm for each output, and which stages are outputs differs.
    added = ('mask_token', 'norm0', 'norm1.', 'norm2.') if backbone == 'swin-b' else 'mask_token'

    def shapes(cfg):
        tensors = MODELS.build(cfg).state_dict().items()
        return {name: tensor.shape for name, tensor in tensors if not name.startswith(added)}

    expected = shapes(plain)
    for method in training.CONFIGS:
        cfg = training.load_config(method, backbone)
        if cfg is not None and method not in pretrain.REMARKS:
            assert shapes(cfg.model.backbone) == expected, method


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', ['fp32', 'bf16', 'fp16'])
@pytest.mark.parametrize('compiled', [False, True])
def test_on_a_gpu(dtype, compiled):
    cfg = small_config(training.load_config, 'wamim', 'vit-b')
    settings = training.Settings(batch=2, device='cuda', dtype=dtype, compile=compiled)
    steps = training.Training(cfg, settings)
    on_gpu = steps.prepare()['flops_per_image']
    cpu = training.Training(cfg, training.Settings(batch=2, device='cpu'))
    assert on_gpu == pytest.approx(cpu.prepare()['flops_per_image'], rel=0.02)
    steps.reset_peak()
    assert steps.round() > 0 and 1e6 < steps.peak() < 1e9


def test_part_timer():
    """Each part has its own time only, and all of it is counted."""
    timer = training.PartTimer(lambda: None)
    inner = timer.timed('masking', lambda: time.sleep(0.05))
    outer = timer.timed('encoder', lambda: (time.sleep(0.02), inner(), time.sleep(0.02)))
    timer.run(outer)
    assert timer.seconds['masking'] == pytest.approx(0.05, abs=0.02)
    assert timer.seconds['encoder'] == pytest.approx(0.04, abs=0.02)
    assert timer.seconds['other'] < 0.02


@pytest.mark.slow
def test_command(small, tmp_path, capsys, monkeypatch):
    """A method that fails and one that does not exist do not keep the others from finishing."""
    monkeypatch.setitem(SMALL['mfm']['vit-b'], 'backbone.arch', 'no such arch')
    options = ['--backbones', 'vit-b', '--methods', 'wamim', 'mae', 'mfm', 'simmim', '--batch', '2']
    options += ['--rounds', '3', '--steps', '1', '--device', 'cpu', '--out', f'{tmp_path}/a/b.json']
    pretrain.main(options)
    shown = capsys.readouterr().out
    assert 'no simmim for vit-b: left out' in shown
    assert 'mfm failed: ' in shown and 'no such arch' in shown
    found = json.loads((tmp_path / 'a' / 'b.json').read_text())
    assert found['machine']['cores'] >= 1 and found['versions']['torch'] in torch.__version__
    assert found['command'].startswith('python -m benchmarks.pretrain')
    results = found['results']['vit-b']
    assert list(results) == ['wamim', 'mae', 'mfm'] and list(results['mfm']) == ['error']
    assert len(results['mae']['seconds']) == 3 and results['mae']['utilization'] is None
    median = statistics.median(results['wamim']['seconds'])
    assert results['wamim']['images_per_second'] == pytest.approx(2 / median)
    pairs = found['ratios']['vit-b']
    assert list(pairs) == ['wamim / mae']
    both = zip(results['mae']['seconds'], results['wamim']['seconds'], strict=True)
    median = statistics.median(theirs / own for theirs, own in both)
    assert pairs['wamim / mae']['speed']['median'] == pytest.approx(median)


def test_a_process_that_dies():
    """Out of memory, Linux kills it: its pipe closes without a word."""
    method = pretrain.Method.__new__(pretrain.Method)
    here, there = multiprocessing.Pipe()
    method.pipes, method.processes, method.error = [here], [], None
    there.close()
    assert math.isnan(method.ask('round')) and math.isnan(method.ask('round'))
    assert method.error == 'the process died; out of memory?'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--dtype', 'bf16', '--device', 'cpu'], 'bf16 needs a GPU'),
        (
            ['--device', 'cuda', '--processes', '99'],
            '99 processes need as many GPUs, found'
            if torch.cuda.is_available()
            else "invalid choice: 'cuda'",
        ),
        (['--methods', 'beit'], "invalid choice: 'beit'"),
    ],
)
def test_bad_options(capsys, options, message):
    with pytest.raises(SystemExit):
        pretrain.main(options)
    assert message in capsys.readouterr().err
