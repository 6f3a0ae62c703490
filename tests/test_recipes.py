"""Every recipe is held against its source: a library's config, or published numbers.

Facts are read in `recipes`, sources and reasons stand in `recipes_table`.
"""

import logging
import math
from fnmatch import fnmatchcase
from types import SimpleNamespace
from unittest.mock import Mock

import mmpretrain.models
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import BaseLoop, Runner

from wamim_mm import WaMIMViT

from .recipes import ABSENT, ROOT, Difference, differences, facts, ours, reason, start
from .recipes_page import PAGE, page
from .recipes_table import RECIPES


def unexplained(recipe, found):
    """Names of the facts that differ from the source without a reason."""
    return {d.name for d in differences(found, recipe.theirs) if not reason(d, recipe.allowed)}


def test_every_config_has_a_source():
    places = ('pretrain', 'cls', 'det', 'seg')
    configs = {
        f'{place}/{path.stem}'
        for place in places
        for path in (ROOT / 'configs' / place).glob('*.py')
    }
    assert {recipe.config for recipe in RECIPES} == configs


@pytest.mark.parametrize(
    'recipe', RECIPES, ids=lambda recipe: f'{recipe.config} beside {recipe.source[:20]}'
)
def test_differs_for_a_reason_only(recipe):
    found = ours(recipe.config)
    assert unexplained(recipe, found) == set()
    # What the source says of ours is more than nothing.
    assert len(found.keys() & recipe.theirs.keys()) > 15


def test_no_reason_is_left_over():
    """Of no use to any recipe: the difference has gone."""
    used, said = set(), set()
    for recipe in RECIPES:
        names = [d.name for d in differences(ours(recipe.config), recipe.theirs)]
        for pattern, why in recipe.allowed.items():
            said.add((pattern, why))
            if any(fnmatchcase(name, pattern) for name in names):
                used.add((pattern, why))
    assert said - used == set()


def test_a_star_excuses_no_contradiction():
    allowed = {'optimizer.*': 'not said'}
    assert reason(Difference('optimizer.lr', 1.0, ABSENT), allowed) == 'not said'
    assert reason(Difference('optimizer.lr', 1.0, 2.0), allowed) is None
    assert reason(Difference('optimizer.lr', 1.0, 2.0), {'optimizer.lr': 'so'}) == 'so'


XAVIER = [dict(type='Xavier', layer='Linear', distribution='uniform')]
COSINE_LATE = {'param_scheduler.1.begin': 20, 'param_scheduler.1.T_max': 280}
# What once was different from the source without a word: the config, what it said, the facts.
FAULTS = {
    'raw features': (
        'pretrain/wamim_vit-b',
        {'model.neck.norm_raw': False},
        {'decoded_features_normed'},
    ),
    'MFM: cosine behind the warm-up': (
        'pretrain/mfm_vit-b',
        COSINE_LATE,
        {'schedule.cosine.begin', 'schedule.cosine.length'},
    ),
    'MFM, ResNet: cosine behind the warm-up': (
        'pretrain/mfm_r50',
        COSINE_LATE,
        {'schedule.cosine.begin', 'schedule.cosine.length'},
    ),
    'MFM: cosine behind the warm-up in fine-tuning': (
        'cls/mfm_vit-b_finetune',
        {'param_scheduler.1.begin': 5, 'param_scheduler.1.T_max': 95},
        {'schedule.cosine.begin', 'schedule.cosine.length'},
    ),
    'MFM: Xavier': (
        'pretrain/mfm_vit-b',
        {'model.init_cfg': XAVIER},
        {'start.patch_embed', 'start.block_2.qkv', 'start.block_2.proj', 'start.cls_token'},
    ),
    'ViT-L as ViT-B': (
        'pretrain/wamim_vit-l',
        {
            'auto_scale_lr.base_batch_size': 2048,
            'optim_wrapper.optimizer.lr': 2e-4 * 2048 / 256,
            'train_cfg.max_epochs': 400,
        },
        {'batch', 'optimizer.lr', 'schedule.epochs'},
    ),
    'Swin: truncated normals': (
        'pretrain/wamim_swin-b',
        {'model.init_cfg': [dict(type='TruncNormal', layer='Linear', std=0.02)]},
        {'start.stage_1.qkv', 'start.stage_1.proj'},
    ),
    'Swin-L as Swin-B': (
        'pretrain/wamim_swin-l',
        {
            'auto_scale_lr.base_batch_size': 2048,
            'train_cfg.max_epochs': 400,
            'model.backbone.window_size': 7,
        },
        {'batch', 'schedule.epochs', 'model.backbone.window_size'},
    ),
    'Swin-L with windows of 7 in fine-tuning': (
        'cls/wamim_swin-l_finetune',
        {'model.backbone.window_size': 7},
        {'model.backbone.window_size'},
    ),
    'LocalMIM: norm first, then mean': (
        'cls/wamim_vit-b_finetune',
        {'model.backbone.out_type': 'featmap', 'model.backbone.final_norm': True},
        {'model.backbone.out_type', 'model.backbone.final_norm'},
    ),
    'MFM: norm first, then mean': (
        'cls/mfm_vit-b_finetune',
        {'model.backbone.out_type': 'featmap', 'model.backbone.final_norm': True},
        {'model.backbone.out_type', 'model.backbone.final_norm'},
    ),
    'UperNet: a final norm': (
        'seg/upernet_wamim-vit-b_160k_ade20k-512x512',
        {'model.backbone.final_norm': True},
        {'model.backbone.final_norm'},
    ),
    'UperNet: position embedding decays': (
        'seg/upernet_wamim-vit-b_160k_ade20k-512x512',
        {'optim_wrapper.paramwise_cfg.custom_keys.pos_embed.decay_mult': 1.0},
        {'optimizer.not_decayed'},
    ),
    'UperNet, MFM: the learning rate of LocalMIM': (
        'seg/upernet_mfm-vit-b_160k_ade20k-512x512',
        {'optim_wrapper.optimizer.lr': 4e-4},
        {'optimizer.lr'},
    ),
    'LocalMIM: zero as the lowest learning rate of pre-training': (
        'pretrain/wamim_vit-b',
        {'param_scheduler.1.eta_min': 0.0},
        {'schedule.cosine.lowest'},
    ),
    'LocalMIM: one lowest learning rate for all layers': (
        'cls/wamim_vit-b_finetune',
        {'param_scheduler.1.eta_min': 1e-5, 'param_scheduler.1.eta_min_ratio': None},
        {'schedule.cosine.lowest_decays'},
    ),
    'MFM: lowest learning rate in proportion': (
        'cls/mfm_vit-b_finetune',
        {'param_scheduler.1.eta_min': None, 'param_scheduler.1.eta_min_ratio': 1.25e-4},
        {'schedule.cosine.lowest_decays'},
    ),
    'ViTDet: grey padding': (
        'det/mask-rcnn_wamim-vit-b_sfp_coco',
        {'model.data_preprocessor.pad_value': 114},
        {'model.data_preprocessor.pad_value'},
    ),
    'ViTDet: biases do not decay': (
        'det/mask-rcnn_wamim-vit-b_sfp_coco',
        {'optim_wrapper.paramwise_cfg.bias_decay_mult': 0.0},
        {'optimizer.not_decayed'},
    ),
    'Swin in detection: biases do not decay': (
        'det/mask-rcnn_wamim-swin-b_fpn_1x_coco',
        {'optim_wrapper.paramwise_cfg.bias_decay_mult': 0.0},
        {'optimizer.not_decayed'},
    ),
    'A2: batch norms of one GPU': (
        'cls/mfm_r50_finetune-300e',
        {'model.backbone.norm_cfg': dict(type='BN')},
        {'model.backbone.norm_cfg.type'},
    ),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_fault_is_named(fault):
    config, options, names = FAULTS[fault]
    recipe = next(recipe for recipe in RECIPES if recipe.config == config)
    cfg = Config.fromfile(ROOT / 'configs' / f'{config}.py')
    cfg.merge_from_dict(options)
    assert names <= unexplained(recipe, facts(cfg) | start(cfg))


def test_a_patch_embedding_of_a_convolution_is_named(monkeypatch):
    """And a class token of zeros: mmpretrain's ViT, of which ours inherits."""
    monkeypatch.setattr('tests.recipes._STARTS', {})
    monkeypatch.setattr(WaMIMViT, 'init_weights', mmpretrain.models.VisionTransformer.init_weights)
    recipe = RECIPES[0]
    cfg = Config.fromfile(ROOT / f'configs/{recipe.config}.py')
    found = start(cfg)
    assert found['start.patch_embed'] == pytest.approx(0.0208, rel=0.02)
    wrong = {'start.patch_embed', 'start.cls_token'}
    assert unexplained(recipe, facts(cfg) | found) == wrong


def test_the_page_is_the_written_one():
    assert PAGE.read_text() == page(), 'run python -m tests.recipes_page'


def learning_rates(name, epoch_length):
    """The rate of every iteration, for the head, as a Runner sets it."""
    cfg = Config.fromfile(ROOT / f'configs/{name}.py')
    epochs, lr = cfg.train_cfg.max_epochs, cfg.optim_wrapper.optimizer.lr
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    runner = SimpleNamespace(
        _train_loop=Mock(spec=BaseLoop),
        max_epochs=epochs,
        train_dataloader=range(epoch_length),
        logger=logging.getLogger(),
    )
    schedulers = Runner._build_param_scheduler(runner, cfg.param_scheduler, optimizer)
    rates = []
    for _ in range(epochs * epoch_length):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return torch.tensor(rates)


@pytest.mark.parametrize(
    ('name', 'warmup', 'first', 'lowest'),
    [
        ('pretrain/mfm_vit-b', 20, 1e-6, 1e-5),
        ('cls/mfm_vit-b_finetune', 5, 1e-6, 1e-6),
        ('cls/mfm_vit-s_finetune', 5, 1e-6, 1e-6),
    ],
)
def test_the_course_of_mfm_is_that_of_timm(name, warmup, first, lowest):
    """Timm's scheduler is what MFM's release calls, with these arguments."""
    cosine_lr = pytest.importorskip('timm.scheduler.cosine_lr')
    length = 20
    rates = learning_rates(name, length)
    lr = Config.fromfile(ROOT / f'configs/{name}.py').optim_wrapper.optimizer.lr
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = cosine_lr.CosineLRScheduler(
        optimizer,
        t_initial=len(rates),
        lr_min=lowest,
        warmup_lr_init=first,
        warmup_t=warmup * length,
        cycle_limit=1,
        t_in_epochs=False,
    )
    expected = []
    for step in range(len(rates)):
        scheduler.step_update(step)
        expected.append(optimizer.param_groups[0]['lr'])
    expected = torch.tensor(expected)
    ours, theirs = (x[warmup * length :] for x in (rates, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * lowest)
    # In the warm-up timm has the line alone, here it multiplies the cosine.
    ours, theirs = (x[: warmup * length] for x in (rates, expected))
    assert (ours - theirs).abs().max() < 0.012 * lr


def test_the_course_of_localmim_is_its_formula():
    """util/lr_sched.py: a line from 0, then half a cosine down to min_lr."""
    rates, lr, length = learning_rates('pretrain/wamim_vit-b', 5), 1.6e-3, 5
    epochs = torch.arange(len(rates)) / length
    rise = lr * epochs / 40
    fall = 1e-6 + (lr - 1e-6) * 0.5 * (1 + torch.cos(math.pi * (epochs - 40) / 360))
    expected = torch.where(epochs < 40, rise, fall)
    assert (rates - expected).abs().max() < 0.01 * lr  # MMEngine's line ends an iteration earlier
    torch.testing.assert_close(rates[200:], expected[200:].float(), rtol=1e-3, atol=1e-8)
