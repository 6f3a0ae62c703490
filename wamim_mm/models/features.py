"""What an encoder makes of whole images, one vector for each of its outputs."""

from typing import Any

import torch
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from .mfm import MFM
from .wamim import WaMIM

__all__ = ['mean_features', 'whole_model']


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
    backbone, training = model.backbone, model.training
    # Of those with a class token the maps as well: nothing trains that token in pre-training.
    kinds, kind = getattr(backbone, 'OUT_TYPES', ()), getattr(backbone, 'out_type', None)
    model.eval()
    if 'featmap' in kinds:
        backbone.out_type = 'featmap'
    try:
        outputs = model.extract_feat(model.data_preprocessor(batch)['inputs'])
    finally:
        if 'featmap' in kinds:
            backbone.out_type = kind
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
