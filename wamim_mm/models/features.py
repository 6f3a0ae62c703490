"""What an encoder makes of whole images, one vector for each of its outputs."""

from typing import Any

import torch
from mmengine.model import MMDistributedDataParallel
from mmpretrain.models import BaseSelfSupervisor
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from .mfm import MFM
from .wamim import WaMIM

__all__ = ['feature_maps', 'mean_features', 'whole_model']


def feature_maps(model: Any, inputs: Tensor) -> list[Tensor]:
    """The outputs of a model's encoder for whole images.

    Args:
        model: A model of mmpretrain with a ``backbone``.
        inputs: ``(N, C, H, W)`` normalized images.

    Returns:
        ``(N, C_i, h_i, w_i)`` for each of the backbone's outputs, where it has feature maps.
    """
    backbone = model.backbone
    # Of those with a class token the maps as well: nothing trains that token in pre-training.
    kinds, kind = getattr(backbone, 'OUT_TYPES', ()), getattr(backbone, 'out_type', None)
    if 'featmap' in kinds:
        backbone.out_type = 'featmap'
    # MAE's and SimMIM's backbones hide patches unless their algorithms tell them not to.
    encode = model.extract_feat if isinstance(model, BaseSelfSupervisor) else backbone
    try:
        found = encode(inputs)
    finally:
        if 'featmap' in kinds:
            backbone.out_type = kind
    return list(found) if isinstance(found, tuple | list) else [found]


@torch.no_grad()
def mean_features(model: Any, batch: dict) -> list[Tensor]:
    """Means over the positions of the encoder's feature maps, of images without a mask.

    The model is left as it was, in training or not; no random number is drawn.

    Args:
        model: A self-supervised model of mmpretrain.
        batch: ``inputs`` and ``data_samples``, as a loader yields them.

    Returns:
        ``(N, C_i)`` for each of the backbone's outputs.
    """
    training = model.training
    model.eval()
    try:
        outputs = feature_maps(model, model.data_preprocessor(batch)['inputs'])
    finally:
        model.train(training)
    return [output.mean((2, 3)) if output.ndim == 4 else output for output in outputs]


def whole_model(model: nn.Module) -> WaMIM | MFM | None:
    """The WaMIM or MFM that a process can run by itself.

    Args:
        model: A Runner's model, in its wrapper.

    Returns:
        None for other models, and for those that are sharded, or in wrappers other than DDP: they
        compute nothing unless all processes do.
    """
    if isinstance(model, MMDistributedDataParallel):
        model = model.module
    return model if isinstance(model, WaMIM | MFM) and not isinstance(model, FSDPModule) else None
