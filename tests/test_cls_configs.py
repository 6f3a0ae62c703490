"""Every classification config: recipe, size, what it loads, and small ones in training."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmpretrain.models import ResNet
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from PIL import Image

import wamim_mm  # noqa: F401  (registers the constructor)

CONFIGS = Path(__file__).parent.parent / 'configs'
FINETUNE = [
    *(f'wamim_{size}' for size in ('vit-s', 'vit-b', 'vit-l', 'swin-t', 'swin-b', 'swin-l')),
    *(f'mfm_{size}' for size in ('vit-s', 'vit-b', 'swin-b', 'r50_100e', 'r50_300e')),
]
LINEAR = [*(name for name in FINETUNE if name[:5] == 'wamim'), 'mfm_vit-b', 'mfm_r50']
# Blocks, and the parameters of encoder and head in millions.
SIZES = {
    'vit-s': (12, 22.1),
    'vit-b': (12, 86.6),
    'vit-l': (24, 304.3),
    'swin-t': (12, 28.3),
    'swin-b': (24, 87.8),
    'swin-l': (24, 196.5),
    'r50': (None, 25.6),
}


def path_of(name, task):
    name, _, epochs = name.partition('_r50_')
    name = f'{name}_r50_{task}-{epochs}' if epochs else f'{name}_{task}'
    return CONFIGS / 'cls' / f'{name}.py'


FILES = [path_of(name, 'finetune') for name in FINETUNE]
FILES += [path_of(name, 'linear') for name in LINEAR]


@pytest.fixture
def no_initialization(monkeypatch):
    """Sizes and names are asked for, not values: these take most of the time to build a model."""
    for name in ('kaiming_uniform_', 'uniform_', 'normal_', 'xavier_uniform_'):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor)


def shapes(model):
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


@cache
def pretrained_shapes(name):
    """Tensors of the backbone in a checkpoint that a pre-training config writes, by name."""
    path = CONFIGS / 'pretrain' / f'{name}.py'
    return shapes(MODELS.build(Config.fromfile(path).model).backbone)


def test_all_are_there():
    assert {path.name for path in CONFIGS.glob('cls/*.py')} == {path.name for path in FILES}


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_docstring_names_the_command_and_what_was_measured(path):
    head = path.read_text().split('"""')[1]
    assert f'tools/dist_train.sh configs/cls/{path.name}' in head
    assert 'Time and accuracy: not measured' in head


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_full_size_model(path, no_initialization):
    """Size, what is trained, learning rates and weight decay."""
    cfg = Config.fromfile(path)
    _, size, task = path.stem.split('_', 2)
    blocks, millions = SIZES[size]
    model = MODELS.build(cfg.model).train()
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=5e-3)

    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    if task == 'linear':
        assert trained == {'head.fc.weight', 'head.fc.bias'}
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    lr, decay = cfg.optim_wrapper.optimizer.lr, cfg.optim_wrapper.paramwise_cfg
    lowest = lr * decay.get('layer_decay_rate', 1) ** (blocks + 1 if blocks else 0)
    assert min(group['lr'] for group in groups) == pytest.approx(lowest)
    assert sum(len(group['params']) for group in groups) == len(trained)
    if task != 'linear':
        assert all(g['weight_decay'] == 0 for g in groups if g['params'][0].ndim == 1)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_checkpoint_holds_the_backbone(path, no_initialization):
    """Every tensor and no other, except for some norms.

    These are the norms of outputs that only the pre-training reads; and where a ViT is fine-tuned,
    the norm after the mean, which takes the place of the one before it.
    """
    cfg = Config.fromfile(path)
    init_cfg = cfg.model.backbone.init_cfg
    assert init_cfg == dict(type='Pretrained', checkpoint=cfg.checkpoint, prefix='backbone.')
    pretraining = Path(cfg.checkpoint).parent.name
    assert path.stem.startswith(f'{pretraining}_')
    epochs = Config.fromfile(CONFIGS / 'pretrain' / f'{pretraining}.py').train_cfg.max_epochs
    assert cfg.checkpoint == f'work_dirs/{pretraining}/epoch_{epochs}.pth'
    here, there = shapes(MODELS.build(cfg.model.backbone)), pretrained_shapes(pretraining)
    unread = [f'norm{i}.{what}' for i in range(3) for what in ('weight', 'bias')]
    left_over = unread if pretraining.startswith('wamim_swin') else []
    new = []
    if 'vit' in path.stem and 'finetune' in path.stem:
        left_over, new = ['ln1.weight', 'ln1.bias'], ['ln2.weight', 'ln2.bias']
    assert set(new) <= set(here) and not set(new) & set(there) and set(left_over) <= set(there)
    common = {name: shape for name, shape in here.items() if name not in new}
    assert common == {name: shape for name, shape in there.items() if name not in left_over}


VIT = dict(embed_dims=32, num_layers=4, num_heads=2, feedforward_channels=64)
SWIN = dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8])
SMALL = {
    'vit': (dict(arch=VIT, out_indices=[0, 1, 2, 3]), dict(arch=VIT, out_indices=-1), 32),
    'swin': (dict(arch=SWIN), dict(arch=SWIN), 64),
    'r50': (None, dict(base_channels=8), 256),
}

TRAINED = [
    'wamim_vit-b_finetune',
    'wamim_vit-b_linear',
    'wamim_swin-b_finetune',
    'wamim_swin-b_linear',
    'mfm_r50_finetune-100e',
    'mfm_r50_linear',
]


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """16 images of 8 classes to train on and 8 to look at."""
    out = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(0)
    for split, count in (('train', 2), ('val', 1)):
        for label in range(8):
            folder = out / split / f'class_{label}'
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(32 * label, 32 * label + 32, (48, 64, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f'{i}.png')
    return out


def write_checkpoint(cfg, path):
    """What pre-training leaves behind, with another value in every tensor."""
    model = torch.nn.ModuleDict(dict(backbone=ResNet(depth=50, base_channels=8)))
    if cfg is not None:
        model = MODELS.build(cfg.model)
    state = {
        name: torch.rand_like(tensor) / 10 if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }
    torch.save(dict(state_dict=state, meta=dict(epoch=1)), path)
    return {name.removeprefix('backbone.'): tensor for name, tensor in state.items()}


def small_config(path, checkpoint, images, work_dir):
    cfg = Config.fromfile(path)
    size = path.stem.split('_')[1].split('-')[0]
    _, backbone, channels = SMALL[size]
    cfg.model.backbone.update(backbone)
    cfg.model.backbone.init_cfg.checkpoint = str(checkpoint)
    if cfg.model.backbone.get('frozen_stages') == 12:
        cfg.model.backbone.frozen_stages = 4
    cfg.model.head.update(in_channels=channels, num_classes=8)
    cfg.model.data_preprocessor.num_classes = 8
    if isinstance(cfg.model.get('neck'), list):
        cfg.model.neck[1].input_features = channels
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(batch_size=8, num_workers=0, persistent_workers=False, pin_memory=False)
        loader.dataset.update(type='CustomDataset', data_root=str(images))
    cfg.test_dataloader = cfg.val_dataloader
    cfg.param_scheduler = []
    cfg.train_cfg.max_epochs = 1
    cfg.merge_from_dict(
        dict(work_dir=str(work_dir), experiment_name=path.stem, default_hooks=dict(checkpoint=None))
    )
    return cfg


@pytest.mark.parametrize('name', TRAINED)
def test_small_model_loads_trains_and_is_scored(name, images, tmp_path, monkeypatch):
    # The Runner formats its config five times, which takes longer than all the rest.
    monkeypatch.setattr(Config, 'pretty_text', '')
    method, size, task = name.split('_')
    pretraining = None
    if size != 'r50':
        pretraining = Config.fromfile(CONFIGS / 'pretrain' / f'{method}_{size}.py')
        pretraining.model.backbone.update(SMALL[size.split('-')[0]][0])
    checkpoint = tmp_path / 'epoch_1.pth'
    there = write_checkpoint(pretraining, checkpoint)
    cfg = small_config(CONFIGS / 'cls' / f'{name}.py', checkpoint, images, tmp_path)

    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    pooled = 'vit' in name and task == 'finetune'  # then ln2 is new
    loaded = runner.model.backbone.state_dict()
    assert pooled == ('ln2.weight' in loaded) == ('ln1.weight' not in loaded and 'vit' in name)
    loaded = {key: tensor for key, tensor in loaded.items() if not key.startswith('ln2.')}
    assert all(torch.equal(tensor, there[key]) for key, tensor in loaded.items())
    head = runner.model.head.fc.weight.clone()
    runner.train()
    metrics = runner.val()

    assert set(metrics) == {'accuracy/top1', 'accuracy/top5'}
    assert 0 <= metrics['accuracy/top1'] <= metrics['accuracy/top5'] <= 100
    trained = runner.model.backbone.state_dict()
    same = all(torch.equal(tensor, there[key]) for key, tensor in trained.items() if key in there)
    assert same == (task == 'linear')  # running statistics too
    assert not torch.equal(head, runner.model.head.fc.weight)


@pytest.mark.parametrize('name', TRAINED)
def test_ddp_waits_for_no_gradient_in_vain(name, tmp_path):
    """Its second step fails if a parameter got none in the first."""
    cfg = small_config(CONFIGS / 'cls' / f'{name}.py', None, tmp_path, tmp_path)
    store = f'file://{tmp_path}/store'
    torch.distributed.init_process_group('gloo', init_method=store, rank=0, world_size=1)
    try:
        model = MMDistributedDataParallel(
            revert_sync_batchnorm(MODELS.build(cfg.model)),
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
        model.train()
        optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        for _ in range(2):
            data = dict(
                inputs=torch.randint(0, 256, (4, 3, 224, 224), dtype=torch.uint8),
                data_samples=[DataSample().set_gt_label(label) for label in range(4)],
            )
            assert model.train_step(data, optim_wrapper)['loss'].isfinite()
    finally:
        torch.distributed.destroy_process_group()
