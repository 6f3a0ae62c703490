"""What a config trains with, as facts that can be laid beside another config or a published table.

`recipes_table` lays every recipe beside its source, and `recipes_page` writes docs/recipes.md.
"""

import copy
import math
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import mmdet
import mmpretrain
import mmseg
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmpretrain.registry import MODELS
from torch import nn

import wamim_mm  # noqa: F401  (registers everything)

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = dict(mmpretrain=mmpretrain, mmdet=mmdet, mmseg=mmseg)
Facts = dict[str, Any]

# Where weights and images come from, and what is said of them on the way.
NOT_THE_RECIPE = re.compile(
    r'(^|\.)(_scope_|checkpoint|prefix|pretrained|convert_weights|backend|backend_args|meta_keys|'
    r'LoadImageFromFile|LoadAnnotations|RandomDraw|Pack\w+)(\.|$)|backbone\.init_cfg\.type|^model\.type'
)
# Defaults of the libraries that one config spells out and another does not.
DEFAULTS = dict(
    attn_drop_rate=0.0,
    drop_rate=0.0,
    mlp_ratio=4,
    img_size=224,
    norm_eval=False,
    num_stages=4,
    patch_norm=True,
    qkv_bias=True,
    strides=(4, 2, 2, 2),
    style='pytorch',
    topk=(1, 5),
    use_abs_pos_embed=False,
    with_cp=False,
    requires_grad=True,
    direction='horizontal',
    edge='short',
    loss_weight=1.0,
    eps=1e-8,
    num_convs=0,
)
ABSENT = '-'

# MMEngine prints a line for every parameter that it groups or initializes.
MMLogger.get_current_instance().setLevel('WARNING')


class Recipe(NamedTuple):
    """A config of ours beside its source.

    Attributes:
        config: Path in ``configs/``, without suffix.
        source: Name of the source, and where it is.
        said: What the source says, or how to read that; all else in ours needs a reason.
        allowed: Where ours differs from it: a pattern of a fact's name, and the reason; see
            `reason`.
    """

    config: str
    source: str
    said: Facts | Callable[[], Facts]
    allowed: dict[str, str]

    @property
    def theirs(self) -> Facts:
        """The facts of the source."""
        return self.said() if callable(self.said) else self.said


class Difference(NamedTuple):
    """A fact that is not the same in ours and in the source, ABSENT where one has none."""

    name: str
    ours: Any
    theirs: Any


@cache
def ours(name: str) -> Facts:
    """Facts of one of our configs, by its path in ``configs/`` without suffix."""
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    return facts(cfg) | start(cfg)


@cache
def upstream(package: str, path: str) -> Facts:
    """Facts of a config that a library ships."""
    file = Path(PACKAGES[package].__file__).parent / '.mim/configs' / f'{path}.py'
    gpus, images = map(int, re.search(r'(\d+)xb(\d+)', file.stem + '_8xb2').groups())
    return facts(Config.fromfile(file), gpus * images)


def facts(cfg: Config, batch: int | None = None) -> Facts:
    """Every setting of the model, the images, the optimizer and the schedule, by name.

    Args:
        cfg: The config.
        batch: Images in a batch, where the config does not say.
    """
    found = {}
    model = dict(cfg.model)
    model['data_preprocessor'] = model.get('data_preprocessor') or cfg.get('data_preprocessor')
    if 'PretrainDataPreprocessor' in str(model['data_preprocessor']):  # moves masks, no more
        model['data_preprocessor'] = dict(
            model['data_preprocessor'], type='SelfSupDataPreprocessor'
        )
    _flatten('model', model, found)
    for split in ('train', 'val'):
        loader = cfg.get(f'{split}_dataloader')
        if loader:
            _flatten(split, loader.dataset.pipeline, found)
    found['train.sampler'] = cfg.train_dataloader.sampler.type
    found['batch'] = cfg.get('auto_scale_lr', {}).get('base_batch_size') or batch
    found |= _optimizer(cfg) | _schedule(cfg)
    if 'model.data_preprocessor.pad_size_divisor' in found:
        found.setdefault('model.data_preprocessor.pad_value', 0)
    if 'ViT' in cfg.model.backbone.type or 'VisionTransformer' in cfg.model.backbone.type:
        found.setdefault('model.backbone.final_norm', True)
    window = 'model.backbone.stage_cfgs.block_cfgs.window_size'
    if window in found:
        found['model.backbone.window_size'] = found.pop(window)
    return {
        name: value
        for name, value in found.items()
        if value is not None
        and not NOT_THE_RECIPE.search(name)
        and not _same(name, value, DEFAULTS.get(name.split('.')[-1], ABSENT))
    }


def differences(ours: Facts, theirs: Facts) -> list[Difference]:
    """What is not the same, by name."""
    return [
        Difference(name, ours.get(name, ABSENT), theirs.get(name, ABSENT))
        for name in sorted(ours.keys() | theirs.keys())
        if not _same(name, ours.get(name, ABSENT), theirs.get(name, ABSENT))
    ]


def reason(difference: Difference, allowed: dict[str, str]) -> str | None:
    """Why a fact may differ, None if it may not.

    A pattern with a star excuses what one side does not state; two values that contradict each
    other need a reason under their very name.
    """
    name, *values = difference
    for pattern, why in allowed.items():
        if pattern == name or (ABSENT in values and fnmatchcase(name, pattern)):
            return why
    return None


def _flatten(name: str, value: Any, found: Facts) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            part = [part] if key == 'init_cfg' and isinstance(part, dict) else part
            _flatten(f'{name}.{key}', part, found)
    elif isinstance(value, list | tuple) and any(isinstance(part, dict | list) for part in value):
        for number, part in enumerate(value):
            kind = number
            if isinstance(part, dict):
                # Parts of a list go by their type. Ours loads and crops in one.
                kind = part.get('type', number)
                kind = {'LoadRandomResizedCrop': 'RandomResizedCrop'}.get(kind, kind)
                part = {key: value for key, value in part.items() if key != 'type'} or True
            _flatten(f'{name}.{kind}', part, found)
    else:
        found[name] = tuple(value) if isinstance(value, list | tuple) else value


def _optimizer(cfg: Config) -> Facts:
    wrapper, found = cfg.optim_wrapper, {}
    _flatten('optimizer', wrapper.optimizer, found)
    found['optimizer.clip_grad'] = (wrapper.get('clip_grad') or {}).get('max_norm')
    paramwise = dict(wrapper.get('paramwise_cfg') or {})
    if wrapper.get('constructor') == 'LayerDecayOptimizerConstructor':
        paramwise['flat_decay_mult'] = 0.0  # mmsegmentation's is built so
    found['optimizer.layer_decay_rate'] = paramwise.get('layer_decay_rate')
    found['optimizer.not_decayed'] = _not_decayed(cfg.model.backbone.type, paramwise)
    return found


# Kinds of parameters, with one of each in a small encoder.
VIT = {
    'biases': 'layers.0.attn.qkv.bias',
    'norms': 'layers.0.ln1.weight',
    'class token': 'cls_token',
    'position embedding': 'pos_embed',
}
SWIN = {
    'biases': 'stages.0.blocks.0.attn.w_msa.qkv.bias',
    'norms': 'stages.0.blocks.0.norm1.weight',
    'relative position bias': 'stages.0.blocks.0.attn.w_msa.relative_position_bias_table',
}
SMALL = {
    'mmpretrain.VisionTransformer': dict(
        arch=dict(embed_dims=8, num_layers=1, num_heads=1, feedforward_channels=8), img_size=32
    ),
    'mmpretrain.SwinTransformer': dict(
        arch=dict(embed_dims=8, depths=[1], num_heads=[1]), img_size=32, out_indices=(0,)
    ),
}


def _not_decayed(backbone: str, paramwise: dict) -> tuple[str, ...] | None:
    """Kinds of the encoder's parameters that are free of weight decay, as the constructor finds."""
    if 'ResNet' in backbone:
        return None
    kind, names = 'mmpretrain.VisionTransformer', VIT
    if 'Swin' in backbone:
        kind, names = 'mmpretrain.SwinTransformer', SWIN
    backbone = MODELS.build(dict(type=kind, **SMALL[kind]))
    cfg = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0, weight_decay=1.0))
    cfg['paramwise_cfg'] = {key: value for key, value in paramwise.items() if key != 'num_layers'}
    if 'layer_decay_rate' in paramwise:
        cfg['constructor'] = 'LayerDecayOptimWrapperConstructor'
    groups = build_optim_wrapper(nn.ModuleDict(dict(backbone=backbone)), cfg).optimizer.param_groups
    free = {id(p) for group in groups if group['weight_decay'] == 0 for p in group['params']}
    tensors = dict(backbone.named_parameters())
    return tuple(name for name, tensor in names.items() if id(tensors[tensor]) in free)


def _schedule(cfg: Config) -> Facts:
    """The learning rate's course: epochs of its parts, and its lowest value for the head."""
    end = cfg.train_cfg.get('max_epochs') or cfg.train_cfg.get('max_iters')
    found = {'schedule.epochs' if 'max_epochs' in cfg.train_cfg else 'schedule.iterations': end}
    for part in cfg.param_scheduler:
        begin, last = part.get('begin', 0), part.get('end', end)
        name = 'schedule.' + re.sub('(AnnealingLR|LR)$', '', part.type).lower()
        if part.type == 'LinearLR':
            found |= {f'{name}.until': last, f'{name}.from': part.start_factor}
        elif part.type == 'MultiStepLR':
            found |= {f'{name}.at': tuple(part.milestones), f'{name}.gamma': part.get('gamma', 0.1)}
        else:
            found[f'{name}.begin'] = begin
            found[f'{name}.length'] = part.get('T_max') or last - begin
            found[f'{name}.power'] = part.get('power')
            ratio = part.get('eta_min_ratio')
            lr = cfg.optim_wrapper.optimizer.lr
            lowest = part.get('eta_min', 0.0) if ratio is None else ratio * lr
            found[f'{name}.lowest'] = lowest
            if (cfg.optim_wrapper.get('paramwise_cfg') or {}).get('layer_decay_rate') and lowest:
                found[f'{name}.lowest_decays'] = ratio is not None
    return found


def start(cfg: Config) -> Facts:
    """Deviations of tensors before the first step, and if decoders get normed features.

    A few blocks of the encoder's width are built. Other configs than those of pre-training have no
    such facts.
    """
    if cfg.model.type not in ('WaMIM', 'MFM') or 'arch' not in cfg.model.backbone:
        return {}
    # Nothing of it depends on the degradation, and a model is built for each of these only.
    found = _STARTS.setdefault(repr({**cfg.model, 'degradation': None}), {})
    if not found:
        found |= _start(copy.deepcopy(cfg.model))
    return found


_STARTS: dict[str, Facts] = {}


@torch.no_grad()
def _start(model: dict) -> Facts:
    wamim, swin = model.type == 'WaMIM', 'Swin' in model.backbone.type
    arch = MODELS.get(model.backbone.type).arch_zoo[model.backbone.arch]
    if swin:
        model.backbone.arch = dict(arch, depths=[1, 1, 1, 1])
    else:
        model.backbone.arch = dict(arch, num_layers=4 if wamim else 2)
        if wamim:
            model.backbone.out_indices = [0, 1, 2, 3]
    torch.manual_seed(0)
    built = MODELS.build(model)
    built.init_weights()
    encoder = built.backbone
    found = {'start.patch_embed': encoder.patch_embed.projection.weight}
    if swin:
        msa = encoder.stages[0].blocks[0].attn.w_msa
        found |= {
            'start.stage_1.qkv': msa.qkv.weight,
            'start.stage_1.proj': msa.proj.weight,
            'start.stage_1.bias_table': msa.relative_position_bias_table,
        }
    else:
        block = encoder.layers[1]
        found |= {
            'start.cls_token': encoder.cls_token,
            'start.block_2.qkv': block.attn.qkv.weight,
            'start.block_2.proj': block.attn.proj.weight,
            'start.block_2.fc2': block.ffn.layers[1].weight,
        }
    found = {name: tensor.std().item() for name, tensor in found.items()}
    if wamim:
        norm_raw = model.neck.get('norm_raw', True)
        found['decoded_features_normed'] = all(encoder.features_normed) or norm_raw
    return found


def _same(name: str, a: Any, b: Any) -> bool:
    numbers = [isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b)]
    if all(numbers):
        return math.isclose(a, b, rel_tol=0.12 if name.startswith('start.') else 1e-6)
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return all(_same(name, *pair) for pair in zip(a, b, strict=True))
    return a == b
