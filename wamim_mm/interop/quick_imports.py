"""mmengine imports transformers, and mmpretrain imports mmdet, for one class each.

These two imports take 1.4 of the 5 s of a start. Here each is imported only when its class is used;
both classes stay registered under their names.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from .imports import after_import, around_import

_OPTIMIZERS = 'mmengine.optim.optimizer.builder'
_EXTRA_NORM = 'mmpretrain.models.utils.res_layer_extra_norm'


def install() -> None:
    """Let mmengine and mmpretrain be imported without transformers and mmdet."""
    # Contexts end in the opposite order: transformers is back when Adafactor is registered.
    after_import(_OPTIMIZERS, _register_adafactor)
    around_import(_OPTIMIZERS, partial(_absent, 'transformers'))
    around_import(_EXTRA_NORM, partial(_absent, 'mmdet'))
    after_import('mmdet.models', _register_extra_norm)


@contextmanager
def _absent(library: str) -> Iterator[None]:
    """Let importing a library fail, unless something has imported it before."""
    if library in sys.modules:
        yield
        return
    sys.modules[library] = None  # type: ignore[assignment]  # what the import system documents
    try:
        yield
    finally:
        del sys.modules[library]


def _register_adafactor() -> None:
    from mmengine.registry import OPTIMIZERS

    if 'Adafactor' not in OPTIMIZERS.module_dict and importlib.util.find_spec('transformers'):
        OPTIMIZERS.register_module(name='Adafactor', module=_adafactor)


def _adafactor(params: Any, **kwargs: Any) -> Any:
    """transformers' optimizer, imported now. MMEngine reads the name of the first argument."""
    from transformers import Adafactor

    return Adafactor(params, **kwargs)


def _register_extra_norm() -> None:
    """Run mmpretrain's module again, now that mmdet is there."""
    module = sys.modules.get(_EXTRA_NORM)
    # If it lacks the name, it is being imported and has imported mmdet itself: it will go on.
    if module is not None and getattr(module, 'ResLayerExtraNorm', module) is None:
        module = importlib.reload(module)
        utils: Any = sys.modules['mmpretrain.models.utils']
        utils.ResLayerExtraNorm = module.ResLayerExtraNorm
