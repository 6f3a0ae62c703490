"""Every mistake of the table is answered with its line, soon."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from PIL import Image

from ..mistakes import ROOT, answer
from ..mistakes_page import PAGE, page
from ..mistakes_table import MISTAKES, SEG, VIT


class Hostile:
    def __reduce__(self):
        import os

        return os.system, ('true',)


@pytest.fixture(scope='session')
def places(scenes, tmp_path_factory):
    """What the names in braces stand for."""
    files, few = (tmp_path_factory.mktemp(name) for name in ('files', 'few'))
    for picture in sorted(scenes.glob('train/*/*.jpg'))[:3]:
        shutil.copy(picture, few)
    (files / 'notes.txt').write_text('notes')
    (files / 'broken.py').write_text('model = dict(\n')
    base = f"_base_ = '{ROOT / VIT}'\n"
    (files / 'imports.py').write_text(f"{base}custom_imports = dict(imports=['nothing_there'])\n")
    (files / 'validates.py').write_text(
        f'{base}val_dataloader = {{{{_base_.train_dataloader}}}}\n'
        "val_cfg = dict()\nval_evaluator = dict(type='Accuracy')\n"
    )
    torch.save({'state_dict': {'a': torch.zeros(3)}, 'meta': {}}, files / 'foreign.pth')
    torch.save({'state_dict': Hostile()}, files / 'hostile.pth')
    init_default_scope('mmpretrain')  # which another test may have left as another
    model = MODELS.build(Config.fromfile(ROOT / VIT).model)
    torch.save({'state_dict': model.state_dict()}, files / 'weights.pth')
    (files / 'cut.pth').write_bytes((files / 'foreign.pth').read_bytes()[:500])
    (files / 'page.pth').write_text('<html>not found</html>')
    (files / 'empty.pth').touch()
    (files / 'used').mkdir()
    (files / 'used' / 'epoch_3.pth').touch()
    write_labels(files, scenes)
    return dict(data=scenes, few=few, files=files)


def write_labels(files, scenes):
    """Data sets whose labels are wrong, and configs that read them."""
    pictures = sorted(scenes.glob('train/*/*.jpg'))[:6]
    for number, picture in enumerate(pictures):
        for folder in ('train/a', 'train/b', 'val/b', 'val/c', 'jpg', 'png', 'masks', 'seven'):
            (files / folder).mkdir(parents=True, exist_ok=True)
        image = Image.open(picture)
        for folder in ('train/a', 'train/b', 'val/b', 'val/c', 'jpg'):
            image.save(files / folder / f'{number}.jpg')
        image.save(files / 'png' / f'{number}.png')
        half = np.zeros((128, 128), np.uint8)
        half[:64] = 1
        Image.fromarray(255 * half).save(files / 'masks' / f'{number}.png')
        Image.fromarray(7 * half).save(files / 'seven' / f'{number}.png')
    (files / 'deep').mkdir()
    Image.fromarray(np.full((128, 128), 4095, np.uint16)).save(files / 'deep' / '0.png')
    folders = f"dict(type='CustomDataset', data_root='{files}', data_prefix='{{}}')"
    (files / 'folders.py').write_text(
        f"_base_ = '{ROOT}/configs/cls/mfm_r50_finetune-100e.py'\n"
        'model = dict(backbone=dict(init_cfg=None), head=dict(num_classes=2),\n'
        '    data_preprocessor=dict(num_classes=2))\n'
        f'train_dataloader = dict(batch_size=4, dataset={folders.format("train")})\n'
        f'val_dataloader = dict(batch_size=4, dataset={folders.format("val")})\n'
    )
    (files / 'masks.py').write_text(
        f"_base_ = '{ROOT}/{SEG}'\n"
        'model = dict(backbone=dict(init_cfg=None), decode_head=dict(num_classes=2))\n'
        f"train_dataloader = dict(dataset=dict(data_root='{files}', reduce_zero_label=False,\n"
        "    metainfo=dict(_delete_=True, classes=('background', 'thing')),\n"
        "    data_prefix=dict(img_path='jpg', seg_map_path='masks'),\n"
        "    pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),\n"
        "        dict(type='PackSegInputs')]))\n"
        'val_dataloader = val_cfg = val_evaluator = None\n'
    )
    content = json.loads((scenes / 'annotations' / 'instances_train.json').read_text())
    for annotation in content['annotations']:
        del annotation['segmentation']
    (files / 'boxes.json').write_text(json.dumps(content))
    (files / 'cut.json').write_text(json.dumps(content)[:1000])


def same(given: str, expected: str) -> bool:
    """Whether a line is the expected one, in which ``...`` stands for any text."""
    pattern = '.+'.join(map(re.escape, expected.split('...')))
    return re.fullmatch(pattern, given, re.DOTALL) is not None


@pytest.mark.parametrize('mistake', MISTAKES, ids=lambda mistake: mistake.what)
def test_mistakes(mistake, places, tmp_path):
    run = (
        f'--work-dir {tmp_path}/run --cfg-options data_root={places["data"]} '
        'train_dataloader.num_workers=0 train_dataloader.persistent_workers=False'
    )
    command = mistake.command.format(run=run, **places)
    given = answer(command, mistake.light, tmp_path / 'log')
    script = mistake.command.split()[0]
    expected = f'{script}.py: {mistake.answer.format(run=run, **places)}'
    assert same(given.line, expected), given.line
    assert given.code == 2 and '\n' not in given.line
    assert not given.imported
    assert not list(tmp_path.glob('run/*.pth'))


def test_debug_shows_the_traceback(tmp_path):
    for light in (True, False):
        given = answer('train no.py --debug', light, tmp_path / 'log')
        assert given.code == 1 and given.line.startswith('Traceback')
        assert "FileNotFoundError: config 'no.py' does not exist" in given.line


def test_the_page_is_the_written_one():
    assert PAGE.read_text() == page(), 'run python -m tests.mistakes_page'
