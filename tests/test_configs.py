"""Every pre-training config builds at full size and says what the paper says."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

PRETRAIN = sorted(Path(__file__).parent.parent.glob('configs/pretrain/wamim_*.py'))
# Encoder's parameters in millions, width of the deepest feature, decoded blocks (1-based).
FACTS = {
    'wamim_vit-s': (22, 384, [3, 6, 9, 12]),
    'wamim_vit-b': (86, 768, [3, 6, 9, 12]),
    'wamim_vit-l': (303, 1024, [6, 12, 18, 24]),
    'wamim_swin-t': (28, 768, [2, 4, 10, 12]),
    'wamim_swin-b': (87, 1024, [2, 4, 22, 24]),
    'wamim_swin-l': (195, 1536, [2, 4, 22, 24]),
}


def test_all_are_there():
    assert {path.stem for path in PRETRAIN} == set(FACTS)


@pytest.mark.parametrize('path', PRETRAIN, ids=lambda path: path.stem)
def test_pretraining_config(path):
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model)
    millions, width, blocks = FACTS[path.stem]
    encoder = model.backbone
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(millions, rel=0.02)
    assert encoder.feature_channels[-1] == width
    if 'swin' in path.stem:
        ends = torch.tensor(encoder.depths).cumsum(0)[list(encoder.out_indices)].tolist()
        decoder, lr = (128, 4), 1e-4
    else:
        ends = [i + 1 for i in encoder.out_indices]
        decoder, lr = (256, 8), 2e-4
    assert ends == blocks
    first = model.neck.decoders[0]
    assert (first.embed.out_features, first.blocks[0].attn.num_heads) == decoder
    assert all(len(part.blocks) == 1 for part in model.neck.decoders)
    assert model.target_generator.levels == (2, 3, 4, 5)
    assert model.head.loss_weights == (0.8, 0.9, 1.1, 1.2)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(lr * 2048 / 256)
    assert cfg.auto_scale_lr.base_batch_size == 2048 == 8 * cfg.train_dataloader.batch_size
    assert cfg.randomness.diff_rank_seed


@pytest.mark.parametrize('name', ['wamim_vit-b', 'wamim_swin-b'])
def test_full_size_step(name):
    cfg = Config.fromfile(Path(__file__).parent.parent / f'configs/pretrain/{name}.py')
    model = MODELS.build(cfg.model)
    losses = model.loss(torch.randn(1, 3, 224, 224))
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())


def test_configs_open_with_their_command():
    for path in [*PRETRAIN, *Path(__file__).parent.parent.glob('configs/demo/wamim_*.py')]:
        head = path.read_text().split('"""')[1]
        assert f'{path.stem}.py' in head and 'tools/' in head, path
