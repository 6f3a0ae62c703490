"""Our configs and models under the names by which OpenMMLab's tools look for them."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from mmengine.hub import get_config

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ('pretrain', 'cls', 'det', 'seg')


def test_mmengine_finds_configs_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = get_config('wamim_mm::pretrain/wamim_vit-b.py')
    assert found.model == Config.fromfile(ROOT / 'configs/pretrain/wamim_vit-b.py').model
    Path('mine.py').write_text("_base_ = 'wamim_mm::pretrain/wamim_vit-s.py'\nbase = 1\n")
    mine = Config.fromfile('mine.py')
    assert mine.model.backbone.arch == 'deit-small' and mine.default_scope == 'mmpretrain'
    # The name of another library is the scope of what comes from it; ours is no scope.
    assert '_scope_' not in str(mine)
    Path('det.py').write_text("_base_ = 'wamim_mm::det/mask-rcnn_mfm-r50_fpn_1x_coco.py'\n")
    assert Config.fromfile('det.py').default_scope == 'mmdet'


def test_in_a_fresh_interpreter():
    code = (
        'from mmengine.hub import get_config; print(get_config("wamim_mm::cls/mfm_r50_linear.py")'
        '.model.head.num_classes)'
    )
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], capture_output=True)
    assert done.stdout.split()[-1:] == [b'1000'], done.stderr


@pytest.mark.parametrize('folder', FOLDERS)
def test_metafiles_are_whole(folder):
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert index == dict(Import=[f'configs/{name}/metafile.yml' for name in FOLDERS])
    models = yaml.safe_load((ROOT / 'configs' / folder / 'metafile.yml').read_text())['Models']
    files = sorted((ROOT / 'configs' / folder).glob('*.py'))
    assert [model['Config'] for model in models] == [f'configs/{folder}/{f.name}' for f in files]
    assert [model['Name'] for model in models] == [file.stem for file in files]
    for model in models:
        name = model['Name']
        is_mfm = any(word in name for word in ('mfm', 'sr_', 'deblur', 'denoise'))
        assert model['In Collection'] == ('MFM' if is_mfm else 'WaMIM')


def test_mmpretrain_lists_and_builds_them():
    import mmpretrain

    listed = mmpretrain.list_models('*wamim*')
    assert 'wamim_swin-b' in listed and 'wamim_vit-l_finetune' in listed
    assert 'mfm_r50' in mmpretrain.list_models('mfm*')
    assert 'resnet18_8xb32_in1k' in mmpretrain.list_models()
    model = mmpretrain.get_model('wamim_vit-s')
    assert type(model).__name__ == 'WaMIM' and model.backbone.embed_dims == 384
