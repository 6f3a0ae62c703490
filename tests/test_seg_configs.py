"""Every segmentation config builds at full size and takes its pre-trained encoder whole."""

from pathlib import Path

import mmpretrain.registry
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

CONFIGS = Path(__file__).parent.parent / 'configs'
# Name: the pre-training config, parameters in millions.
FACTS = {
    'upernet_wamim-swin-b_160k_ade20k-512x512': ('wamim_swin-b', 121.4),
    'upernet_wamim-vit-b_160k_ade20k-512x512': ('wamim_vit-b', 163.2),
    'upernet_mfm-vit-b_160k_ade20k-512x512': ('mfm_vit-b', 163.2),
    'upernet_mfm-r50_160k_ade20k-512x512': ('mfm_r50', 66.4),
}


def test_all_are_there():
    assert {path.stem for path in CONFIGS.glob('seg/*.py')} == set(FACTS)


@pytest.mark.parametrize('name', FACTS)
def test_segmentation_config(name):
    pretraining, millions = FACTS[name]
    encoder_cfg = Config.fromfile(CONFIGS / 'pretrain' / f'{pretraining}.py').model.backbone
    encoder = mmpretrain.registry.MODELS.build(encoder_cfg).state_dict()
    cfg = Config.fromfile(CONFIGS / 'seg' / f'{name}.py')
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.005)
    assert cfg.train_cfg.max_iters == 160_000 and cfg.auto_scale_lr.base_batch_size == 16

    ours = model.backbone.state_dict()
    final_norm = {'ln1.weight', 'ln1.bias'} if 'vit' in name else set()  # of pre-training only
    assert set(ours) == set(encoder) - final_norm
    resized = {key for key in ours if ours[key].shape != encoder[key].shape}
    assert resized <= {'pos_embed'}

    model.eval()
    with torch.no_grad():
        features = model.extract_feat(torch.zeros(1, 3, 64, 64))
    assert [feature.shape[-1] for feature in features] == [16, 8, 4, 2]
