"""How MFM's release starts a Vision Transformer."""

import math

import torch
from mmpretrain.models import VisionTransformer
from torch import Tensor, nn


@torch.no_grad()
def init_vit(vit: VisionTransformer) -> None:
    """Initialize as MFM's release does, which follows BEiT.

    Every matrix, the patch embedding, the class token and the position embedding are drawn from a
    normal of deviation 0.02 that is cut off at one deviation; biases are zero. Then what block
    ``l`` (from 1) adds to the residual stream, the weights of ``attn.proj`` and of the second
    linear layer, is divided by ``sqrt(2 l)``.

    Source: github.com/Jiahao000/MFM, models/vision_transformer.py and models/mfm.py.
    """
    for module in vit.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            _draw(module.weight)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()
    _draw(vit.pos_embed)
    if vit.cls_token is not None:
        _draw(vit.cls_token)
    for depth, layer in enumerate(vit.layers, start=1):
        last = [module for module in layer.ffn.modules() if isinstance(module, nn.Linear)][-1]
        for linear in (layer.attn.proj, last):
            linear.weight.div_(math.sqrt(2 * depth))


def _draw(tensor: Tensor) -> None:
    nn.init.trunc_normal_(tensor, std=0.02, a=-0.02, b=0.02)
