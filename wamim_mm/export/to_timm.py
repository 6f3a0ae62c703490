"""For timm: a state dict that its model loads strictly."""

from typing import Any

from mmpretrain.models import ResNet, SwinTransformer, VisionTransformer
from torch import Tensor

from .backbone import Backbone
from .conversion import (
    Handover,
    Rules,
    call,
    last_norm,
    library,
    rename,
    reorder_patch_merging,
    side,
    without,
    write,
)

_VIT: Rules = [
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'^layers\.', 'blocks.'),
    (r'\.ln(\d)\.', r'.norm\1.'),
    (r'\.ffn\.layers\.0\.0\.', '.mlp.fc1.'),
    (r'\.ffn\.layers\.1\.', '.mlp.fc2.'),
    (r'^ln1\.', 'norm.'),
    (r'^ln2\.', 'fc_norm.'),
]
_SWIN: Rules = [
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    # timm merges patches at the beginning of a stage.
    (r'^stages\.(\d)\.downsample\.', lambda match: f'layers.{int(match[1]) + 1}.downsample.'),
    (r'^stages\.', 'layers.'),
    (r'\.attn\.w_msa\.', '.attn.'),
    (r'\.ffn\.layers\.0\.0\.', '.mlp.fc1.'),
    (r'\.ffn\.layers\.1\.', '.mlp.fc2.'),
    (r'^norm\d\.', 'norm.'),
]
# mmpretrain's name of a size -> timm's.
_VIT_SIZES = {'deit-tiny': 'tiny', 'deit-small': 'small', 'base': 'base', 'large': 'large'}
_SWIN_SIZES = {'tiny': 'tiny', 'small': 'small', 'base': 'base', 'large': 'large'}


def to_timm(backbone: Backbone) -> Handover:
    """For timm's model of that name or, where there is none, of that class."""
    module = backbone.build('timm')
    channels = {} if backbone.in_channels == 3 else dict(in_chans=backbone.in_channels)
    return _CONVERT[backbone.host](module, backbone.weights, channels)


def _vit(module: VisionTransformer, weights: dict[str, Tensor], channels: dict) -> Handover:
    """Timm has one norm after the blocks: of all tokens, or of their mean."""
    left_out: list[str] = []
    norm: dict[str, Any] = {}
    if module.final_norm:
        left_out = [name for name in weights if name.startswith('ln2.')]
    elif module.out_type == 'avg_featmap':
        norm = dict(global_pool='avg')
    else:
        norm = dict(final_norm=False)
    settings = module.arch_settings
    image, patch = side(module.img_size), side(module.patch_embed.projection.kernel_size)
    return _handover(
        rename(without(weights, left_out), _VIT),
        left_out,
        f'vit_{_size(module, _VIT_SIZES)}_patch{patch}_{image}',
        'VisionTransformer',
        dict(
            img_size=image,
            patch_size=patch,
            embed_dim=settings['embed_dims'],
            depth=settings['num_layers'],
            num_heads=settings['num_heads'],
            mlp_ratio=settings['feedforward_channels'] / settings['embed_dims'],
        ),
        **norm,
        **channels,
    )


def _swin(module: SwinTransformer, weights: dict[str, Tensor], channels: dict) -> Handover:
    """Timm has a norm for the last stage only."""
    last = last_norm(module)
    left_out = [name for name in weights if name.startswith('norm') and last not in name]
    image, patch = (
        side(pair)
        for pair in (module.patch_embed.init_input_size, module.patch_embed.projection.kernel_size)
    )
    window = module.stages[0].blocks[0].attn.window_size
    return _handover(
        rename(reorder_patch_merging(without(weights, left_out)), _SWIN),
        left_out,
        f'swin_{_size(module, _SWIN_SIZES)}_patch{patch}_window{window}_{image}',
        'SwinTransformer',
        dict(
            img_size=image,
            patch_size=patch,
            embed_dim=module.embed_dims,
            depths=tuple(module.depths),
            num_heads=tuple(module.num_heads),
            window_size=window,
        ),
        **channels,
    )


def _resnet(module: ResNet, weights: dict[str, Tensor], channels: dict) -> Handover:
    return _handover(weights, [], f'resnet{module.depth}', 'ResNet', {}, **channels)


_CONVERT = {'VisionTransformer': _vit, 'SwinTransformer': _swin, 'ResNet': _resnet}


def _size(module: VisionTransformer | SwinTransformer, names: dict[str, str]) -> str | None:
    """Timm's name for the size of a ViT or Swin."""
    for name, size in names.items():
        if module.arch_zoo[name] == module.arch_settings:
            return size
    return None


def _handover(
    state: dict[str, Tensor], left_out: list[str], name: str, cls: str, sizes: dict, **options
) -> Handover:
    """Load the state into the model that the usage names, which fails unless both fit."""
    timm = library('timm')
    if timm.is_model(name):
        model = timm.create_model(name, num_classes=0, **options)
        text = call('timm.create_model', name, num_classes=0, **options)
    else:
        model = getattr(timm.models, cls)(**sizes, num_classes=0, **options)
        text = call(f'timm.models.{cls}', **sizes, num_classes=0, **options)
    model.load_state_dict(state)
    usage = [f'model = {text}', "model.load_state_dict(torch.load('OUT'))"]
    return Handover(lambda out: write(state, out), usage, left_out)
