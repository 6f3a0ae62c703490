"""What a step keeps, counted by hand for a small net."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import memory, training

from .test_pretrain import small_config


class Net(nn.Module):
    """Two layers with a product between them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

    def data_preprocessor(self, batch, training):
        return batch

    def forward(self, inputs, mode):
        return dict(loss=self.second(torch.relu(self.first(inputs))).sum())


def test_kept():
    """The input, and what the ReLU gives, which it and the second layer keep: one storage."""
    batch = dict(inputs=torch.randn(5, 8))
    found = memory.kept_bytes(SimpleNamespace(inner=Net(), batch=batch))
    assert found == 4 * (5 * 8 + 5 * 16)


def test_command(tmp_path, monkeypatch, capsys):
    load = training.load_config
    monkeypatch.setattr(memory, 'load_config', lambda *names: small_config(load, *names))
    memory.main(['--batch', '2', '--out', str(tmp_path / 'memory.json')])
    assert 'GB at 256' in capsys.readouterr().out
    found = json.loads((tmp_path / 'memory.json').read_text())['results']['vit-b']
    ours, theirs = found['wamim'], found['mae']
    assert found['ratio']['16'] == pytest.approx(
        (16 * ours['parameters'] + 16 * ours['image_bytes'])
        / (16 * theirs['parameters'] + 16 * theirs['image_bytes'])
    )
