"""python -m benchmarks.frequencies."""

import json

import torch

from benchmarks import frequencies
from wamim_mm import FrequencyFilter, FrequencyLoss


def test_both_compute_the_same():
    """At full size, with a mask for every sample."""
    images, other = torch.rand(2, 4, 3, 224, 224, dtype=torch.float64)
    filtered, mask = FrequencyFilter(radius=16)(images)
    assert 0 < mask.flatten(1)[:, 0].sum() < 4  # both kinds were drawn
    torch.testing.assert_close(frequencies.whole_filter(images, mask), filtered)
    expected = FrequencyLoss()(other, images, mask)
    torch.testing.assert_close(frequencies.whole_loss(other, images, mask), expected)


def test_command(tmp_path, capsys):
    frequencies.main(
        ['--batch', '2', '--rounds', '2', '--device', 'cpu', '--out', f'{tmp_path}/f.json']
    )
    assert 'filter: half is' in capsys.readouterr().out
    found = json.loads((tmp_path / 'f.json').read_text())
    assert set(found['ratios']) == {'filter', 'loss'} and len(found['seconds']['loss, half']) == 2
