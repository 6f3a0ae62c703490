"""For mmpretrain, mmdet and mmseg: checkpoints that ``init_cfg`` of an existing config takes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from .backbone import Backbone
from .conversion import Handover, Rules, call, rename, side, without, write

_PRETRAINED = dict(type='Pretrained', checkpoint='OUT')
_PREFIXED = dict(**_PRETRAINED, prefix='backbone.')
_MMSEG_VIT: Rules = [
    (r'\.attn\.qkv\.', '.attn.attn.in_proj_'),
    (r'\.attn\.proj\.', '.attn.attn.out_proj.'),
]


def to_mmpretrain(backbone: Backbone) -> Handover:
    """Keep all names, with the prefix of mmpretrain's own configs, ``backbone.``.

    Swin's index tables are kept too: mmpretrain removes them from the checkpoint when it resizes
    the bias tables for another window, and fails where there are none.
    """
    state = {f'backbone.{name}': tensor for name, tensor in backbone.tensors.items()}
    return Handover(_save(backbone, state), [f'init_cfg={call("dict", **_PREFIXED)}'], [])


def to_mmdet(backbone: Backbone) -> Handover:
    """For mmdet's own Swin and ResNet; it has no ViT, but builds mmpretrain's."""
    if backbone.host != 'VisionTransformer':
        return _SHARED[backbone.host](backbone, 'mmdet')
    args = backbone.args | dict(out_type='featmap', init_cfg=_PREFIXED)
    usage = [
        "custom_imports = dict(imports=['mmpretrain.models'])",
        f'backbone={call("dict", type="mmpretrain.VisionTransformer", **args)}',
    ]
    return to_mmpretrain(backbone)._replace(usage=usage)


def to_mmseg(backbone: Backbone) -> Handover:
    """For mmseg's own ViT, Swin and ResNet."""
    return _SHARED[backbone.host](backbone, 'mmseg')


def _vit(backbone: Backbone, target: str) -> Handover:
    """mmseg's ViT takes names without a prefix, and has no norm behind a mean pooling.

    Its patch embedding has no bias, except with ``patch_bias=True``, which none of mmseg's configs
    uses. So the bias is added to the position embedding, which the model adds next.
    """
    module = backbone.convertible(target)
    settings = module.arch_settings
    ratio, rest = divmod(settings['feedforward_channels'], settings['embed_dims'])
    if rest:
        raise ValueError(
            "mmseg's VisionTransformer takes a whole mlp_ratio only, got feedforward_channels="
            f'{settings["feedforward_channels"]} with embed_dims={settings["embed_dims"]}'
        )
    left_out = [name for name in backbone.weights if name.startswith('ln2.')]
    state = rename(without(backbone.weights, left_out), _MMSEG_VIT)
    bias = state.pop('patch_embed.projection.bias')
    state['pos_embed'] = state['pos_embed'].clone()
    state['pos_embed'][:, 1:] += bias
    usage = _usage(
        backbone,
        img_size=side(module.img_size),
        patch_size=side(module.patch_embed.projection.kernel_size),
        embed_dims=settings['embed_dims'],
        num_layers=settings['num_layers'],
        num_heads=settings['num_heads'],
        mlp_ratio=ratio,
        norm_cfg=dict(type='LN', eps=1e-6),
        final_norm=module.final_norm,
    )
    return Handover(_save(backbone, state), usage, left_out)


def _swin(backbone: Backbone, target: str) -> Handover:
    """Both Swins remove the prefix ``backbone.``, and mmdet's ignores names without it.

    The index tables are left out: mmdet's Swin of another window size refuses them.
    """
    module = backbone.convertible(target)
    state = {f'backbone.{name}': tensor for name, tensor in backbone.weights.items()}
    window = module.stages[0].blocks[0].attn.window_size
    sizes: dict[str, Any] = dict(window_size=window)
    patch = side(module.patch_embed.projection.kernel_size)
    if patch != 4:  # theirs; patches are merged by 2
        sizes |= dict(patch_size=patch, strides=(patch, *(2,) * (len(module.stages) - 1)))
    usage = _usage(backbone, **module.arch_settings, **sizes)
    return Handover(_save(backbone, state), usage, [])


def _resnet(backbone: Backbone, target: str) -> Handover:
    """mmdet's and mmseg's configs name ResNet checkpoints without a prefix."""
    module = backbone.convertible(target)
    return Handover(_save(backbone, backbone.weights), _usage(backbone, depth=module.depth), [])


_SHARED: dict[str, Callable[[Backbone, str], Handover]] = {
    'VisionTransformer': _vit,
    'SwinTransformer': _swin,
    'ResNet': _resnet,
}


def _usage(backbone: Backbone, **args) -> list[str]:
    if backbone.in_channels != 3:
        args['in_channels'] = backbone.in_channels
    return [f'backbone={call("dict", type=backbone.host, **args, init_cfg=_PRETRAINED)}']


def _save(backbone: Backbone, state: dict[str, Tensor]) -> Callable[[Path], None]:
    return lambda out: write(state, out, backbone.config)
