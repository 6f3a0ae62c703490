"""python -m benchmarks.gpu, as far as a machine without a GPU can run it."""

import json
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu, training

from .test_pretrain import small_config


def test_pretended(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(gpu, 'ENCODERS', ('vit-s', 'swin-t'))
    monkeypatch.setattr(gpu, 'BATCH', 2)
    gpu.main(['--out', str(tmp_path / 'gpu.json')])
    assert 'no GPU: nothing was timed' in capsys.readouterr().out
    found = json.loads((tmp_path / 'gpu.json').read_text())['pretended']
    for result in found.values():
        assert set(result['losses']) == {f'loss_level{level}' for level in (2, 3, 4, 5)}
        assert set(result['losses'].values()) == {'cuda:0'}


@pytest.fixture
def pretended(monkeypatch):
    """The logic on the CPU: a GPU of 64 GB with a small model, which fails from 8 images on."""
    monkeypatch.setattr(
        gpu,
        'Settings',
        lambda batch, device, dtype, steps=1, compile=False: training.Settings(
            batch, 'cpu', steps=1
        ),
    )
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'NVIDIA H100 80GB HBM3')
    monkeypatch.setattr(
        torch.cuda, 'get_device_properties', lambda rank: SimpleNamespace(total_memory=64e9)
    )
    monkeypatch.setattr(gpu, 'STEPS', 1)
    monkeypatch.setattr(gpu, 'ROUNDS', 1)
    monkeypatch.setattr(gpu.Measured, 'waits', lambda self, batch: [])
    images = gpu.random_batch

    def limited(cfg, model, batch, size):
        if batch > 8:
            raise torch.cuda.OutOfMemoryError
        return images(cfg, model, batch, size)

    monkeypatch.setattr(gpu, 'random_batch', limited)


def test_the_largest_batch_is_looked_for(pretended, monkeypatch):
    cfg = small_config(training.load_config, 'wamim', 'vit-b')
    monkeypatch.setattr(gpu, 'BATCH', 2)
    found = gpu.step(cfg, 'fp32')
    assert [step['batch'] for step in found['steps']] == [2, 8]
    step = found['steps'][0]
    assert step['images_per_second'] == pytest.approx(2 / step['seconds'])
    expected = found['flops_per_image'] * 2 / step['seconds'] / 67e12
    assert step['utilization'] == pytest.approx(expected)
    # Less than was asked for, where that is too much.
    monkeypatch.setattr(gpu, 'BATCH', 32)
    assert [step['batch'] for step in gpu.step(cfg, 'fp32')['steps']] == [8]


def test_flex_attention_is_measured(pretended, monkeypatch):
    """With the operations of what is measured beside it."""
    cfg = small_config(training.load_config, 'wamim', 'swin-b')
    monkeypatch.setattr(gpu, 'BATCH', 2)
    expected = gpu.step(cfg, 'fp32', largest=False)['flops_per_image']
    seen = []
    monkeypatch.setattr(
        gpu.Measured, 'at', lambda self, batch: seen.append(self.training) or dict(batch=batch)
    )
    found = gpu.step(cfg, 'fp32', largest=False, flex=True)
    assert seen[0].inner.backbone.flex_attention
    # Masks differ, and with them the number of window groups.
    assert found['flops_per_image'] == pytest.approx(expected, rel=0.01)
    flexed = {name for name in gpu.parts('fp32') if 'FlexAttention' in name}
    assert flexed == {'swin-b, FlexAttention', 'swin-b, FlexAttention, compiled'}


def test_failures_and_time():
    def fail():
        raise RuntimeError('no')

    results, left = gpu.run({'a': fail, 'b': lambda: dict(share=0.2, workers=3)}, 60)
    assert results['a'] == dict(error='RuntimeError: no') and left == []
    text = '\n'.join(gpu.remarks(results, ['c']))
    assert 'a failed: RuntimeError: no' in text and 'no time was left for: c' in text
    assert gpu.run({'a': fail}, -1) == ({}, ['a'])


def test_table_and_goals():
    step = dict(batch=256, seconds=0.1, images_per_second=2560, peak_bytes=30e9, utilization=0.41)
    results = {
        'vit-b': dict(steps=[step], waits=[]),
        'swin-b': dict(steps=[dict(step, utilization=0.2)], waits=['a copy']),
        'data': dict(share=0.05, workers=15),
        'tests': dict(passed=False, last='1 failed', failed=['FAILED x']),
    }
    assert gpu.table(results).splitlines()[2:] == [
        '| vit-b | 256 | 2,560 | 100.0 | 30.0 | 41.0% | none |',
        '| swin-b | 256 | 2,560 | 100.0 | 30.0 | 20.0% | a copy |',
    ]
    text = '\n'.join(gpu.remarks(results, []))
    assert 'vit-b: 41.0% of the peak, the goal of 40% reached' in text
    assert 'swin-b: 20.0% of the peak, the goal of 25% not reached' in text
    assert '5.0% of a step' in text and 'is reached' in text and 'FAILED x' in text


@pytest.mark.gpu
@pytest.mark.parametrize('backbone', ['vit-b', 'swin-b'])
def test_a_step_never_waits(backbone):
    cfg = small_config(training.load_config, 'wamim', backbone)
    assert gpu.step(cfg, training.default_dtype('cuda'), largest=False)['waits'] == []
