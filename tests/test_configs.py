"""Every pre-training config builds at full size and says what the paper says."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmpretrain.registry import MODELS

CONFIGS = sorted(Path(__file__).parent.parent.glob('configs/pretrain/*.py'))
PRETRAIN = [path for path in CONFIGS if path.stem.startswith('wamim_')]
MFM = [path for path in CONFIGS if path not in PRETRAIN]
# Encoder's parameters in millions, width of the deepest feature, decoded blocks (1-based), GPUs.
FACTS = {
    'wamim_vit-s': (22, 384, [3, 6, 9, 12], 8),
    'wamim_vit-b': (86, 768, [3, 6, 9, 12], 8),
    'wamim_vit-l': (303, 1024, [6, 12, 18, 24], 16),
    'wamim_vit-h': (631, 1280, [8, 16, 24, 32], 16),
    'wamim_swin-t': (28, 768, [2, 4, 10, 12], 8),
    'wamim_swin-b': (87, 1024, [2, 4, 22, 24], 8),
    'wamim_swin-l': (195, 1536, [2, 4, 22, 24], 16),
}
# Encoder's parameters in millions, width and stride of its last feature map, and a small one.
MFM_ENCODERS = {
    'vit-s': (21.7, 384, 16, dict(arch='deit-tiny')),
    'vit-b': (85.8, 768, 16, dict(arch='deit-tiny')),
    'swin-b': (86.7, 1024, 32, dict(arch='tiny')),
    'r50': (23.5, 2048, 32, dict(depth=18, base_channels=8, stem_channels=8)),
}
DEGRADATIONS = {
    'mfm': dict(type='FrequencyFilter', radius=16, low_pass_prob=0.5, per='sample'),
    'sr': dict(type='SuperResolution', scale=8),
    'deblur': dict(type='Deblur', sigma=5, kernel_sizes=(7, 9, 11, 13, 15, 17, 19, 21)),
    'denoise': dict(type='Denoise', sigma=75),
}


def take_a_step(cfg: Config, side: int = 224) -> dict:
    """Train the config's model with its optimizer for one step; what it logs."""
    model = MODELS.build(cfg.model)
    model.init_weights()
    batch = dict(
        inputs=torch.randint(256, (2, 3, side, side), dtype=torch.uint8), data_samples=None
    )
    log = model.train_step(batch, build_optim_wrapper(model, cfg.optim_wrapper))
    assert log['loss'].isfinite() and log['loss'] > 0
    return log


def test_all_are_there():
    assert {path.stem for path in PRETRAIN} == set(FACTS)
    every = {f'{task}_{size}' for task in DEGRADATIONS for size in MFM_ENCODERS}
    assert {path.stem for path in MFM} == every


@pytest.mark.parametrize('path', PRETRAIN, ids=lambda path: path.stem)
def test_pretraining_config(path):
    cfg = Config.fromfile(path)
    # Without the numbers, which take gigabytes; mmpretrain's Swin needs some.
    with torch.device('meta' if 'vit' in path.stem else 'cpu'):
        model = MODELS.build(cfg.model)
    millions, width, blocks, gpus = FACTS[path.stem]
    encoder = model.backbone
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(millions, rel=0.02)
    assert encoder.feature_channels[-1] == width
    if 'swin' in path.stem:
        ends = torch.tensor(encoder.depths).cumsum(0)[list(encoder.out_indices)].tolist()
        decoder, normed = (128, 4), 4
    else:
        ends = [i + 1 for i in encoder.out_indices]
        decoder, normed = (256, 8), 1
    assert ends == blocks
    first = model.neck.decoders[0]
    assert (first.embed.out_features, first.blocks[0].attn.num_heads) == decoder
    assert all(len(part.blocks) == 1 for part in model.neck.decoders)
    assert model.target_generator.levels == (2, 3, 4, 5)
    assert model.head.loss_weights == (0.8, 0.9, 1.1, 1.2)
    inputs = [part.input_norm for part in model.neck.decoders]
    assert sum(isinstance(norm, torch.nn.Identity) for norm in inputs) == normed
    assert cfg.auto_scale_lr.base_batch_size == gpus * cfg.train_dataloader.batch_size
    assert cfg.randomness.diff_rank_seed


@pytest.mark.parametrize('name', ['wamim_vit-h'])
def test_step_of_a_narrow_twin(name):
    """Of models that are too large for a test: their grids, levels and depth at a small width."""
    cfg = Config.fromfile(Path(__file__).parent.parent / f'configs/pretrain/{name}.py')
    arch = MODELS.get(cfg.model.backbone.type).arch_zoo[cfg.model.backbone.arch]
    cfg.model.backbone.arch = dict(arch, embed_dims=64, feedforward_channels=128)
    take_a_step(cfg)
    targets = MODELS.build(cfg.model).target_generator(torch.randn(1, 3, 224, 224))
    assert [target.shape[-1] for target in targets] == [64, 32, 16, 8]  # patches: 16


@pytest.mark.parametrize('path', MFM, ids=lambda path: path.stem)
def test_mfm_config(path):
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model)
    task, size = path.stem.split('_')
    millions, width, stride, small = MFM_ENCODERS[size]
    encoder = model.backbone
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(millions, rel=5e-3)
    assert (model.head.projection.in_channels, model.head.stride) == (width, stride)
    degradation = dict(DEGRADATIONS[task])
    if path.stem == 'mfm_r50':
        degradation['low_pass_prob'] = 0.3
    assert cfg.model.degradation == degradation
    assert cfg.model.head.loss == dict(type='FrequencyLoss', gamma=1.0)
    if 'vit' in size:
        assert encoder.pos_embed.requires_grad and encoder.final_norm
        assert not any('gamma' in name for name, _ in encoder.named_parameters())  # layer scale
    assert cfg.auto_scale_lr.base_batch_size == 2048 == 8 * cfg.train_dataloader.batch_size
    assert cfg.randomness.diff_rank_seed

    cfg.model.backbone.update(small)
    take_a_step(cfg)


@pytest.mark.parametrize('name', ['wamim_vit-b', 'wamim_swin-b', 'wamim_swin-l'])
def test_full_size_step(name):
    cfg = Config.fromfile(Path(__file__).parent.parent / f'configs/pretrain/{name}.py')
    model = MODELS.build(cfg.model)
    losses = model.loss(torch.randn(1, 3, 224, 224))
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())


def test_configs_open_with_their_command():
    for path in [*CONFIGS, *Path(__file__).parent.parent.glob('configs/demo/[!_]*.py')]:
        head = path.read_text().split('"""')[1]
        assert f'{path.stem}.py' in head and 'tools/' in head, path


def test_the_fused_optimizer_is_the_plain_one():
    """Every AdamW of ours has ``fused=True``, for speed; its slow twin takes the same steps."""
    for path in CONFIGS[0].parent.parent.glob('*/*.py'):
        if path.parent.name in ('pretrain', 'cls', 'det', 'seg'):
            optimizer = Config.fromfile(path).optim_wrapper.optimizer
            assert optimizer.type != 'AdamW' or optimizer.fused, path
    optimizer = dict(Config.fromfile(PRETRAIN[0]).optim_wrapper.optimizer)
    assert optimizer.pop('type') == 'AdamW' and optimizer.pop('fused')
    twins = [torch.nn.Linear(7, 5) for _ in range(2)]
    twins[1].load_state_dict(twins[0].state_dict())
    for twin, fused in zip(twins, (True, False), strict=True):
        optim = torch.optim.AdamW(twin.parameters(), **optimizer, fused=fused)
        for seed in range(20):
            optim.zero_grad()
            x = torch.randn(3, 7, generator=torch.Generator().manual_seed(seed))
            twin(x).square().mean().backward()
            optim.step()
    for fused, plain in zip(*(twin.parameters() for twin in twins), strict=True):
        torch.testing.assert_close(fused, plain)
