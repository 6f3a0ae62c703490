"""``data_root=`` moves the data in the libraries' own tools."""

import subprocess
import sys
from pathlib import Path

import mmpretrain
import pytest
from mmengine.config import Config

from wamim_mm.interop.data_root import move_data_root


@pytest.mark.parametrize(
    ('config', 'paths'),
    [
        ('pretrain/wamim_vit-b', ['train_dataloader.dataset.data_root']),
        ('cls/wamim_vit-b_finetune', ['train_dataloader.dataset.data_root']),
        (
            'det/mask-rcnn_wamim-swin-b_fpn_1x_coco',
            ['val_dataloader.dataset.data_root', 'val_evaluator.ann_file'],
        ),
    ],
)
def test_every_path_moves(root, config, paths):
    cfg = Config.fromfile(root / f'configs/{config}.py')
    cfg.merge_from_dict(dict(data_root='/new/place', randomness=dict(seed=3)))
    assert cfg.data_root == '/new/place' and cfg.randomness.seed == 3
    for path in paths:
        value = cfg
        for part in path.split('.'):
            value = value[part]
        assert value.startswith('/new/place')


def test_once_only_and_only_our_configs():
    text = "data_root = 'data'\npath = 'data/a'\nother = 'database/b'\n"
    ours = Config.fromstring(f"custom_imports = dict(imports=['wamim_mm'])\n{text}", '.py')
    move_data_root(ours, 'data/new')  # below the old one
    ours.merge_from_dict(dict(data_root='data/new'))
    assert ours.path == 'data/new/a' and ours.other == 'database/b'
    theirs = Config.fromstring(text, '.py')
    theirs.merge_from_dict(dict(data_root='new'))
    assert theirs.path == 'data/a' and theirs.data_root == 'new'
    with pytest.raises(ValueError, match='has no data_root'):
        move_data_root(Config(dict(a=1)), 'new')


def test_mmpretrains_own_tool_trains_there(root, tmp_path):
    """What `mim train mmpretrain CONFIG --cfg-options data_root=DIR` starts."""
    tool = Path(mmpretrain.__file__).parent / '.mim/tools/train.py'
    done = subprocess.run(
        [
            *(sys.executable, tool, root / 'configs/pretrain/wamim_vit-s.py'),
            *('--work-dir', tmp_path / 'run', '--cfg-options', f'data_root={tmp_path / "nowhere"}'),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode and str(tmp_path / 'nowhere/train') in done.stderr
