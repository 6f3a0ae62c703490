"""For timm: a state dict that its model loads strictly."""

from typing import Any, NamedTuple

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


class _Model(NamedTuple):
    """A model of timm's.

    Attributes:
        state: Its tensors.
        left_out: Names of weights that it has no place for.
        name: Its name, if timm has a model of that size.
        cls: Otherwise its class,
        sizes: and what makes the class that size.
        options: What its name does not say.
    """

    state: dict[str, Tensor]
    left_out: list[str]
    name: str
    cls: str
    sizes: dict[str, Any]
    options: dict[str, Any]


def to_timm(backbone: Backbone) -> Handover:
    """For timm's model of that name or, where there is none, of that class.

    The named model is made by the line that also tells timm how images are normalized, and makes
    ``features_only=True`` work. The tensors are loaded into it here, which fails unless all fit.
    """
    module = backbone.convertible('timm')
    state, left_out, name, cls, sizes, options = _CONVERT[backbone.host](module, backbone.weights)
    is_vit = isinstance(module, VisionTransformer)
    if is_vit and 'global_pool' not in options and not backbone.gives_token(module):
        options = dict(options, global_pool='avg', fc_norm=False)  # the mean over patches
    if backbone.in_channels != 3:
        options = dict(options, in_chans=backbone.in_channels)
    timm = library('timm')
    if not timm.is_model(name):
        getattr(timm.models, cls)(**sizes, num_classes=0, **options).load_state_dict(state)
        text = call(f'timm.models.{cls}', **sizes, num_classes=0, **options)
        usage = [f'model = {text}', "model.load_state_dict(torch.load('OUT'))"]
        return Handover(lambda out: write(state, out), usage, left_out)
    model = timm.create_model(name, num_classes=0, **options)
    model.load_state_dict(state)
    overlay = dict(file='OUT', num_classes=0)
    shape = (backbone.in_channels, *backbone.image_size(module))
    if shape != model.pretrained_cfg['input_size']:
        overlay.update(input_size=shape)
    if backbone.normalization is not None:
        overlay.update(backbone.normalization._asdict())
    made = dict(pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, **options)
    usage = [f'model = {call("timm.create_model", name, **made)}']
    return Handover(lambda out: write(state, out), usage, left_out)


def _vit(module: VisionTransformer, weights: dict[str, Tensor]) -> _Model:
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
    return _Model(
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
        norm,
    )


def _swin(module: SwinTransformer, weights: dict[str, Tensor]) -> _Model:
    """Timm has a norm for the last stage only."""
    last = last_norm(module)
    left_out = [name for name in weights if name.startswith('norm') and last not in name]
    image, patch = (
        side(pair)
        for pair in (module.patch_embed.init_input_size, module.patch_embed.projection.kernel_size)
    )
    window = module.stages[0].blocks[0].attn.window_size
    return _Model(
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
        {},
    )


def _resnet(module: ResNet, weights: dict[str, Tensor]) -> _Model:
    return _Model(weights, [], f'resnet{module.depth}', 'ResNet', {}, {})


_CONVERT = {'VisionTransformer': _vit, 'SwinTransformer': _swin, 'ResNet': _resnet}


def _size(module: VisionTransformer | SwinTransformer, names: dict[str, str]) -> str | None:
    """Timm's name for the size of a ViT or Swin."""
    for name, size in names.items():
        if module.arch_zoo[name] == module.arch_settings:
            return size
    return None
