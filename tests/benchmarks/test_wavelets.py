"""python -m benchmarks.wavelets, and that all do the same work."""

import json
import sys

import pytest
import torch

from benchmarks import wavelets
from wamim_mm import WaveletTargetGenerator
from wamim_mm.ops import wavedec2


@pytest.mark.parametrize('name', ['PyWavelets', 'ptwt', 'pytorch_wavelets'])
def test_peers_compute_the_same(name):
    images = torch.randn(2, 3, 64, 96)
    found = wavelets.peers('haar', 'cpu')
    if name not in found:
        pytest.skip(f'{name} is not installed')
    ours = wavedec2(images, 'haar', level=5)
    theirs = found[name](images, 5)
    torch.testing.assert_close(theirs[0], ours[0])
    for details, own in zip(theirs[1:], ours[1:], strict=True):
        torch.testing.assert_close(tuple(details), own)
    generator = WaveletTargetGenerator('haar', norm='subband')
    torch.testing.assert_close(
        wavelets.targets(found[name], images), generator(images), atol=1e-4, rtol=1e-4
    )


def test_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ptwt', None)  # importing it fails
    options = ['--batch', '2', '--rounds', '3', '--calls', '1', '--device', 'cpu']
    wavelets.main([*options, '--wavelet', 'haar', 'db2', '--out', f'{tmp_path}/wavelets.json'])
    shown = capsys.readouterr().out
    assert 'ptwt left out' in shown and 'pip install ptwt' in shown
    found = json.loads((tmp_path / 'wavelets.json').read_text())['results']
    assert list(found) == ['haar', 'db2']
    for result in found.values():
        assert len(result['seconds']['copy']) == 3
        assert result['ratios']['PyWavelets, targets / wamim_mm']['median'] > 0
        assert result['ratios']['wamim_mm, transform / copy']['min'] > 0
        assert not any(name.startswith('ptwt') for name in result['seconds'])
