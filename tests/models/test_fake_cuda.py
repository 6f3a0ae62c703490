"""Forward and loss of every pre-training model on a GPU that is not there.

An operator that mixes devices, or reads a value of the GPU on the CPU, raises an error.
"""

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from benchmarks.fake_gpu import pretended_gpu, to_gpu
from benchmarks.study import plan, pretraining
from benchmarks.study.data import augment, generator
from wamim_mm.evaluation import reconstructions
from wamim_mm.hooks.masking import masked_collate
from wamim_mm.models.features import mean_features
from wamim_mm.models.wamim.masked_encoder import layout_to
from wamim_mm.ops import random_mask

from ..benchmarks.study.test_study import CONFIGS
from ..data.test_masking import with_draws

NAMES = [
    *('wamim_vit-s', 'wamim_swin-t', 'mfm_vit-s', 'mfm_swin-b', 'mfm_r50'),
    *('sr_vit-s', 'deblur_vit-s', 'denoise_vit-s', 'sr_r50', 'deblur_r50', 'denoise_r50'),
]


@pytest.fixture
def mode():
    with pretended_gpu() as mode:
        yield mode


def build(root, name):
    model = MODELS.build(Config.fromfile(root / 'configs' / 'pretrain' / f'{name}.py').model)
    model.train()
    return model


def refuse(*args, **kwargs):
    raise AssertionError('the CPU waits for a value')


def assert_on_gpu(losses):
    assert losses and all(loss.device.type == 'cuda' for loss in losses.values())
    assert all(loss.dtype == torch.float32 and loss.ndim == 0 for loss in losses.values())


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize('name', NAMES)
def test_loss(root, mode, name, dtype, monkeypatch):
    model = to_gpu(build(root, name), mode)
    batch = dict(inputs=torch.zeros(2, 3, 224, 224, dtype=torch.uint8), data_samples=None)
    if name.startswith('wamim'):  # masks are real, and so are the layouts: the workers make them
        collate = masked_collate(model, lambda samples: dict(data_samples=samples))
        batch['masking'] = collate(with_draws([0.25, 0.75]))['masking']
        for method in ('cpu', 'item', 'tolist', 'numpy'):
            monkeypatch.setattr(torch.Tensor, method, refuse, raising=False)
    half = dtype != torch.float32
    with mode, torch.autocast('cuda', dtype, enabled=half):
        assert torch.is_autocast_enabled('cuda') is half
        batch = model.data_preprocessor(batch, True)
        assert batch['inputs'].device.type == 'cuda'
        assert_on_gpu(model(**batch, mode='loss'))


@pytest.mark.parametrize('name', NAMES)
def test_pictures(root, mode, name, monkeypatch):
    """What `PicturesHook` and ``wamim reconstruct`` draw, and the image of ``wamim features``."""
    model = build(root, name).eval()
    if name.startswith('wamim'):  # the mask's values are real
        mask = random_mask(2, model.backbone.mask_grid(224, 224), 0.75)
        layout = model.backbone.geometry(mask)
        monkeypatch.setattr(reconstructions, 'random_mask', lambda *_: mask)
        monkeypatch.setattr(
            model.backbone, 'lay_out', lambda x, mask: layout_to(layout, x.device), raising=True
        )
    to_gpu(model, mode)
    with mode:
        images = torch.zeros(2, 3, 224, 224, device='cuda')
        for row in reconstructions.rows_of(model, images):
            assert all(picture.device.type == 'cpu' for picture in row.values())
        pictures = reconstructions.as_pictures(model, dict(image=images))
        assert pictures['image'].device.type == 'cuda'


@pytest.mark.parametrize('name', ['wamim_vit-s', 'wamim_swin-t', 'mfm_r50'])
def test_features(root, mode, name):
    """What `HealthHook`, `ProbeHook` and ``wamim embed`` compute."""
    model = to_gpu(build(root, name), mode)
    batch = dict(inputs=torch.zeros(2, 3, 224, 224, dtype=torch.uint8), data_samples=None)
    with mode:
        features = mean_features(model, batch)
        assert all(feature.device.type == 'cuda' for feature in features)


def test_vitdet(mode):
    vit = MODELS.build(dict(type='ViTDet', arch='deit-tiny', img_size=224))
    pyramid = MODELS.build(dict(type='SimpleFeaturePyramid', in_channels=192))
    to_gpu(vit, mode), to_gpu(pyramid, mode)
    with mode, torch.autocast('cuda', torch.bfloat16):
        maps = pyramid(vit(torch.zeros(1, 3, 256, 192, device='cuda')))
    assert [tuple(m.shape[2:]) for m in maps] == [(64, 48), (32, 24), (16, 12), (8, 6), (4, 3)]
    assert all(m.device.type == 'cuda' for m in maps)


@pytest.mark.parametrize('config', CONFIGS)
def test_step_of_the_study(mode, config):
    """Of every method, in the precision that ``python -m benchmarks.study --budget gpu`` has."""
    cfg = plan.load(config)
    model = pretraining.build(cfg, 0, torch.device('cpu'))
    masks = pretraining.StepMasks(cfg, model, 4, 0)[0]
    to_gpu(model, mode)
    with mode, torch.autocast('cuda', torch.bfloat16):
        images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8, device='cuda')
        inputs = pretraining.normalized(model, augment(images, generator(0)))
        assert inputs.device.type == 'cuda' and inputs.dtype == torch.float32
        masks = None if masks is None else model.data_preprocessor.cast_data(masks)
        assert_on_gpu(pretraining.losses_of(model, inputs, masks))
