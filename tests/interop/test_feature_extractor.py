"""mmpretrain's FeatureExtractor on configs of pre-training."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain import FeatureExtractor, get_model
from PIL import Image

from wamim_mm.data.images import centre_crop_pipeline


@pytest.mark.parametrize('config', ['wamim_vit_cifar10', 'mfm_r18_cifar10'])
def test_features_of_a_file(root, tmp_path, config):
    from mmengine.dataset import Compose, default_collate

    cfg = Config.fromfile(root / f'configs/demo/{config}.py')
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / 'a.png')
    extractor = FeatureExtractor(cfg, device='cpu')
    found = extractor(str(tmp_path / 'a.png'))[0]
    size = cfg.model.backbone.get('img_size', 224)
    steps = Compose(centre_crop_pipeline((size, size)))
    batch = default_collate([steps(dict(img_path=str(tmp_path / 'a.png')))])
    model = extractor.model
    with torch.no_grad():
        expected = model.extract_feat(model.data_preprocessor(batch)['inputs'])
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other[0])


def test_by_name(tmp_path):
    model = get_model('wamim_vit-s')
    image = np.random.default_rng(0).integers(0, 256, (300, 240, 3), dtype=np.uint8)
    found = FeatureExtractor(model, device='cpu')(image)[0]
    assert all(torch.isfinite(part).all() for part in found)


def test_configs_with_a_test_set_keep_its_steps(root):
    cfg = Config.fromfile(root / 'configs/cls/wamim_vit-b_finetune.py')
    extractor = FeatureExtractor.__new__(FeatureExtractor)
    steps = extractor._init_pipeline(cfg).transforms
    assert [type(step).__name__ for step in steps] == ['ResizeEdge', 'CenterCrop', 'PackInputs']
    assert steps[0].scale == 256
