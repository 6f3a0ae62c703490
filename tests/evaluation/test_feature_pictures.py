"""Pictures of features, against numpy and a loop."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.models import VisionTransformer
from mmpretrain.models.utils import MultiheadAttention
from mmpretrain.registry import MODELS
from PIL import Image

from wamim_mm.evaluation import feature_pictures
from wamim_mm.evaluation.feature_pictures import (
    draw_features,
    principal_components,
    received_attention,
)
from wamim_mm.evaluation.models import build_model


def test_principal_components():
    features = torch.randn(3, 6, 4, 5) * torch.tensor([9, 5, 3, 1, 1, 1]).view(1, 6, 1, 1)
    found = principal_components(features)
    assert found.shape == (3, 3, 4, 5) and found.min() >= 0 and found.max() <= 1
    points = features.permute(0, 2, 3, 1).reshape(-1, 6).numpy().astype(np.float64)
    points -= points.mean(0)
    _, _, directions = np.linalg.svd(points, full_matrices=False)
    for channel in range(3):
        direction = directions[channel]
        direction = direction * np.sign(direction[np.abs(direction).argmax()])
        values = points @ direction
        low, high = np.quantile(values, [0.01, 0.99])
        expected = np.clip((values - low) / (high - low), 0, 1)
        np.testing.assert_allclose(found[:, channel].flatten().numpy(), expected, atol=1e-5)


def test_constant_features_are_no_error():
    assert torch.isfinite(principal_components(torch.ones(2, 5, 3, 3))).all()
    assert torch.isfinite(principal_components(torch.randn(1, 3, 1, 1))).all()


@pytest.mark.parametrize('class_token', [0, 1])
def test_received_attention(class_token):
    attention = MultiheadAttention(8, 2)
    tokens = torch.randn(2, class_token + 6, 8)
    found = received_attention(tokens, attention, (2, 3))
    q, k, _ = attention.qkv(tokens).split(8, dim=2)
    for n in range(2):
        received = np.zeros(6)
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            scores = (q[n, :, part] @ k[n, :, part].T / 2).softmax(1).detach().numpy()
            received += scores[class_token:, class_token:].mean(0) / 2
        expected = (received / received.max()).reshape(1, 2, 3)
        np.testing.assert_allclose(found[n].detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ('config', 'columns'), [('wamim_vit_cifar10', 5), ('wamim_swin', 4), ('mfm_r18_cifar10', 4)]
)
def test_pictures(root, tmp_path, config, columns):
    cfg = Config.fromfile(root / f'configs/demo/{config}.py')
    model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'a.pth')
    paths = [tmp_path / f'{i}.png' for i in range(4)]
    for path in paths[1:]:
        noise = np.random.default_rng(int(path.stem)).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(noise).save(path)
    paths[0].write_bytes(b'broken')
    draw_features(cfg, str(tmp_path / 'a.pth'), paths, tmp_path / 'out.png', count=3)
    outputs = len(model.backbone.out_indices)
    assert columns == 1 + outputs + isinstance(model.backbone, VisionTransformer)
    width, height = Image.open(tmp_path / 'out.png').size
    assert (width, height) == (round(170 * columns), 185 * 3)
    with pytest.raises(ValueError, match=r'0\.png'):
        draw_features(cfg, str(tmp_path / 'a.pth'), paths[:1], tmp_path / 'no.png')
    assert not (tmp_path / 'no.png').exists()


@pytest.mark.parametrize(
    ('places', 'titles'),
    [((3,), [4]), ((1, 3), [2, 4]), ((1, 2, 3), [2, 3, 4])],
)
@pytest.mark.parametrize('host', ['ResNet', 'SwinTransformer'])
def test_stages_by_their_numbers(host, places, titles, tmp_path, monkeypatch):
    backbone = dict(type=host, out_indices=places)
    backbone |= (
        dict(depth=18) if host == 'ResNet' else dict(arch='tiny', img_size=64, pad_small_map=True)
    )
    model = dict(
        type='ImageClassifier',
        backbone=backbone,
        data_preprocessor=dict(mean=[0] * 3, std=[1] * 3, to_rgb=True),
    )
    cfg = Config(dict(model=model, default_scope='mmpretrain'))
    torch.save(dict(state_dict=build_model(cfg).state_dict()), tmp_path / 'a.pth')
    Image.fromarray(np.full((64, 64, 3), 9, np.uint8)).save(tmp_path / 'a.png')
    rows = []
    monkeypatch.setattr(feature_pictures, 'draw', lambda found, out: rows.extend(found))
    draw_features(cfg, str(tmp_path / 'a.pth'), [tmp_path / 'a.png'], tmp_path / 'o.png', count=1)
    assert list(rows[0]) == ['image', *(f'stage {number}' for number in titles)]
