"""Swin freezes its ``frozen_stages`` when training begins, which is too late for DDP.

mmpretrain, mmdet and mmsegmentation do it in ``train()``. By then DDP expects gradients of the
frozen tensors, and fails in the second step.
"""

import functools
import sys
from functools import partial
from typing import Any

from .imports import after_import

MODULES = (
    'mmpretrain.models.backbones.swin_transformer',
    'mmpretrain.models.backbones.swin_transformer_v2',
    'mmdet.models.backbones.swin',
    'mmseg.models.backbones.swin',
)


def install() -> None:
    """Have Swin freeze its stages when it is built."""
    for module in MODULES:
        after_import(module, partial(_freeze_when_built, module))


def _freeze_when_built(module: str) -> None:
    for name in ('SwinTransformer', 'SwinTransformerV2'):
        cls = getattr(sys.modules[module], name, None)
        if cls is not None and cls.__module__ == module and not hasattr(cls.__init__, '_freezes'):
            cls.__init__ = _freezing(cls.__init__)


def _freezing(init: Any) -> Any:
    @functools.wraps(init)
    def build(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if self.frozen_stages >= 0:
            self._freeze_stages()

    build._freezes = True  # type: ignore[attr-defined]  # marks what was patched
    return build
