"""The picture of what the study's WaMIM makes of test images."""

import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image

from benchmarks.study import pictures, records
from benchmarks.study.data import Images
from benchmarks.study.plan import Run, config_hash, load
from benchmarks.study.pretraining import build


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Records of two lengths, weights of the shorter one."""
    init_default_scope('mmpretrain')
    monkeypatch.setattr(records, 'RESULTS', tmp_path)
    monkeypatch.setattr(pictures, 'WORK', tmp_path)
    monkeypatch.setattr(pictures, 'PICTURE', tmp_path / 'picture.png')
    test = Images(torch.randint(256, (20, 3, 32, 32), dtype=torch.uint8), torch.arange(20) % 10)
    monkeypatch.setattr(pictures, 'load_cifar10', lambda *paths: dict(test=test))
    monkeypatch.setattr('sys.argv', ['pictures'])
    for epochs in (1, 2):
        run = Run('study/wamim_vit', epochs, 1e-3, 0)
        record = dict(
            key=run.key,
            kind='pretraining',
            status='done',
            config=run.config,
            config_hash=config_hash(run.config),
            **run.facts,
        )
        records.append(tmp_path / 'cpu.jsonl', record)
        if epochs == 1:
            file = pictures.weights_of('cpu', record)
            file.parent.mkdir(parents=True)
            model = build(load(run.config), 0, torch.device('cpu'))
            torch.save(dict(model=model.state_dict()), file)
    return tmp_path


def test_the_longest_run_with_weights_is_drawn(study, capsys):
    pictures.main()
    assert 'study/wamim_vit/1ep/lr0.001/seed0' in capsys.readouterr().out
    with Image.open(study / 'picture.png') as picture:
        # Two rows for each image; four columns: the image and three levels.
        assert picture.height > 2 * pictures.COUNT * 100 and picture.width > 4 * 100


def test_without_weights(study, capsys):
    for file in study.rglob('encoder.pt'):
        file.unlink()
    with pytest.raises(SystemExit):
        pictures.main()
    assert 'has no weights of study/wamim_vit: first python -m' in capsys.readouterr().err
