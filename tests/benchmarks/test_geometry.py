"""The benchmark of masks and window groups runs, and times what it says."""

import json
import sys

import torch

from benchmarks import geometry


def test_it_writes_every_row(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'geometry.json'
    arguments = ['--batches', '2', '3', '--rounds', '1', '--out', out]
    monkeypatch.setattr(sys, 'argv', ['geometry', *map(str, arguments)])
    threads = torch.get_num_threads()
    try:
        geometry.main()
    finally:
        torch.set_num_threads(threads)
    results = json.loads(out.read_text())
    assert [set(results[name]) for name in geometry.CONFIGS] == [{'2', '3'}] * 2
    for name in geometry.CONFIGS:
        for found in results[name].values():
            assert set(found['seconds']) == set(geometry.PLACES)
    assert 'wamim_swin-b' in capsys.readouterr().out
