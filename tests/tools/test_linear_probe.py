"""tools/linear_probe.py on clean and corrupted images."""

import json
import re
import sys

import pytest
import torch
from mmengine.config import Config

from wamim_mm.cli import linear_probe
from wamim_mm.evaluation.linear_probe import build_encoder


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ([], r"val' does not exist; .* set another --data-root, or --val"),
        (['--val', 'other'], r"train/b' has no image, and would be a class of its own"),
    ],
)
def test_folders_that_are_not_there(options, said, tmp_path, monkeypatch, capsys):
    for name in ('train/a/1.png', 'other/a/1.png', 'train/b/notes.txt'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    torch.save(dict(state_dict={}), tmp_path / 'a.pth')
    given = ['probe', tmp_path / 'a.pth', '--data-root', tmp_path, *options]
    monkeypatch.setattr(sys, 'argv', [str(part) for part in given])
    with pytest.raises(SystemExit):
        linear_probe.main()
    assert re.search(said, capsys.readouterr().err)


def test_corruptions(root, scenes, tmp_path, monkeypatch, capsys):
    pytest.importorskip(
        'imagecorruptions', reason='needs the package imagecorruptions-imaug, of the test extra'
    )
    config, checkpoint, out = (tmp_path / name for name in ('vit.py', 'vit.pth', 'probe.json'))
    small = "_base_ = '{}'\nmodel = dict(backbone=dict(img_size=64))\n"
    config.write_text(small.format(root / 'configs' / 'demo' / 'wamim_vit.py'))
    # Pre-trained is here the random encoder itself, so that the scores come in equal pairs.
    model = build_encoder(Config.fromfile(config), 0)
    torch.save({'state_dict': model.state_dict()}, checkpoint)
    arguments = [config, checkpoint, '--data-root', scenes, '--random-seeds', 1, '--out', out]
    names = ['gaussian_noise', 'contrast']
    given = ['linear_probe.py', *arguments, '--corruptions', *names]
    monkeypatch.setattr(sys, 'argv', [str(part) for part in given])
    linear_probe.main()
    result = json.loads(out.read_text())
    assert result['val_images'] == 12 and result['pretrained'] == result['random']
    assert list(result['corruptions']) == names
    for scores in result['corruptions'].values():
        assert scores['pretrained'] == scores['random'] and 0 <= scores['random'] <= 1
    printed = capsys.readouterr().out
    assert 'gaussian_noise: pre-trained' in printed and 'contrast: pre-trained' in printed
