"""The benchmark of parameter groups runs, and compares what it says."""

import json
import sys

import pytest
import torch

from benchmarks import groups


@pytest.mark.parametrize('rounds', [2])
def test_it_writes_both(tmp_path, monkeypatch, rounds):
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    sgd = torch.optim.SGD([weight], lr=0.1)
    monkeypatch.setattr(groups, 'optimizers', lambda name, device: dict(merged=sgd, plain=sgd))
    out = tmp_path / 'groups.json'
    arguments = ['groups', '--rounds', str(rounds), '--out', str(out)]
    monkeypatch.setattr(sys, 'argv', arguments)
    groups.main()
    results = json.loads(out.read_text())
    for name in groups.CONFIGS:
        assert results[name]['groups'] == dict(merged=1, plain=1)
        assert [len(times) for times in results[name]['seconds'].values()] == [rounds] * 2
    # 2 configs, each of the two optimizers 3 + 2 times
    assert weight.detach().tolist() == pytest.approx([1 - 0.1 * 2 * 2 * 5] * 3)
