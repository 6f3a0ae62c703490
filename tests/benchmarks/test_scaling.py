"""python -m benchmarks.scaling, with small encoders."""

import json

import pytest

from benchmarks import scaling

from .test_pretrain import SWIN, VIT


@pytest.fixture
def small(monkeypatch):
    """Small models, two of each series; a process starts for each cell."""
    full = scaling.config

    def config(encoder, img_size):
        cfg = full(encoder, img_size)
        cfg.model.backbone.arch = VIT if encoder.startswith('vit') else SWIN
        cfg.model.backbone.out_indices = [0, 1, 2, 3]
        return cfg

    monkeypatch.setattr(scaling, 'config', config)
    monkeypatch.setattr(scaling, 'FACTORS', (1 / 2, 1))
    monkeypatch.setattr(scaling, 'INPUTS', (192, 224))
    monkeypatch.setitem(scaling.SIZES, 'swin-b', ('swin-t', 'swin-b'))


@pytest.mark.slow
def test_command(small, tmp_path, capsys):
    options = ['--encoders', 'swin-b', '--rounds', '1', '--device', 'cpu']
    scaling.main([*options, '--out', f'{tmp_path}/found.json'])
    shown = capsys.readouterr().out
    assert 'processes: swin-b' in shown and 'GPU hours' in shown and 'failed' not in shown
    found = json.loads((tmp_path / 'found.json').read_text())['results']['swin-b']
    measured = found['measured']
    assert [cell['series'] for cell in measured] == [
        *['batch'] * 2,
        *['input'] * 2,
        *['encoder'] * 2,
        *['processes'] * 2,
    ]
    assert measured[2]['flops_per_image'] < measured[3]['flops_per_image']
    assert [cell['processes'] for cell in measured[-2:]] == [1, 2]
    assert [cell['batch'] for cell in measured[-2:]] == [16, 16]
    assert [cell['batch'] for cell in found['batches_on_paper']] == list(scaling.ON_PAPER)
    assert len(found['epochs_on_paper']) == 6


def test_an_odd_batch_is_refused(capsys):
    with pytest.raises(SystemExit):
        scaling.main(['--batch', '15'])
    assert 'must be even, as it is halved; got 15' in capsys.readouterr().err


def test_lines():
    assert scaling.line([(1, 5.0), (2, 7.0), (4, 11.0)]) == pytest.approx((3, 2))
    cells = [
        dict(series='batch', batch=batch, seconds=0.1 + 0.2 * batch, peak_bytes=10 + 3 * batch)
        for batch in (4, 8, 16)
    ]
    found = scaling.batches_on_paper([*cells, dict(series='batch', batch=32, error='memory')])
    assert found[-1] == pytest.approx(dict(batch=1024, seconds=204.9, peak_bytes=3082))


def test_hours_of_an_epoch():
    """100 GFLOP an image at 40 % of 312 TFLOP/s, 100 million parameters, worked out by hand."""
    seconds = scaling.assumed_seconds('vit-b', 100e9)
    hours, gpu_hours = scaling.epoch_hours(seconds, 100_000_000, 1)
    assert hours == gpu_hours == pytest.approx(1_281_167 * 100e9 / 124.8e12 / 3600)
    hours, gpu_hours = scaling.epoch_hours(seconds, 100_000_000, 8)
    steps = 1_281_167 / 2048
    compute, reduce = 256 * 100e9 / 124.8e12, 2 * 7 / 8 * 400e6 / 200e9
    assert hours == pytest.approx(steps * (compute + reduce) / 3600)
    assert gpu_hours == pytest.approx(8 * hours)


@pytest.mark.parametrize('img_size', scaling.INPUTS)
def test_windows_divide_every_stage(img_size):
    """No cell pays for padding that another does not."""
    window = scaling.config('swin-b', img_size).model.backbone.window_size
    assert all(img_size // stride % window == 0 for stride in (4, 8, 16, 32))


def test_a_gpu_has_measured_hours():
    cell = dict(series='encoder', encoder='vit-b', parameters=10**8, flops_per_image=1e11)
    measured = dict(cell, images_per_second=2000.0)
    alone, *_ = scaling.epochs_on_paper([measured, dict(cell, error='memory')], 'cuda')
    assert alone['gpu_hours'] == pytest.approx(1_281_167 / 2000 / 3600)
    assert [cell.processes for cell in scaling.series('vit-b', 256, 1)['processes']] == [1]
