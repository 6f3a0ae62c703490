"""python -m benchmarks.inputs, on few small images."""

import json
import os

from benchmarks import inputs


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, 'sched_setaffinity', lambda pid, cores: None)  # of the other tests
    out = tmp_path / 'inputs.json'
    inputs.main(['--sizes', '300x250', '--count', '3', '--rounds', '1', '--out', str(out)])
    found = json.loads(out.read_text())['results']['300x250']
    assert {'wamim_mm', 'wamim_mm, shards', 'mmpretrain', 'torchvision v2'} <= set(found['ratio'])
    assert min(found['images_per_second'].values()) > 0
    assert found['ratio']['wamim_mm']['median'] == 1
    assert '300x250' in capsys.readouterr().out


def test_all_make_the_same_kind_of_image(tmp_path):
    paths = inputs.draw(tmp_path / 'images', 300, 250, 2)
    for name, images in inputs.contenders(paths, tmp_path).items():
        if 'DALI' not in name:
            assert [tuple(image.shape) for image in images()] == [(3, 224, 224)] * 2, name
