"""mmpretrain resizes relative position tables with a function that SciPy 1.14 removed.

Without it, neither Swin nor BEiT loads a checkpoint of another window size.
"""

import functools
import importlib
from collections.abc import Callable
from unittest import mock

import numpy as np
import scipy
from mmengine.utils import digit_version

# Every module that holds the function under its name.
_MODULES = ('utils.embed', 'utils', 'backbones.swin_transformer', 'backbones.beit')
_NAME = 'resize_relative_position_bias_table'


def install() -> None:
    """Let mmpretrain resize relative position tables with any SciPy."""
    if digit_version(scipy.__version__) < digit_version('1.14'):
        return
    modules = [importlib.import_module(f'mmpretrain.models.{name}') for name in _MODULES]
    resize = _with_interp2d(getattr(modules[0], _NAME))
    for module in modules:
        setattr(module, _NAME, resize)


def _with_interp2d(function: Callable) -> Callable:
    """Let a function find ``scipy.interpolate.interp2d`` again while it runs."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        with mock.patch('scipy.interpolate.interp2d', _interp2d):
            return function(*args, **kwargs)

    return call


def _interp2d(x: list, y: list, z: np.ndarray, kind: str) -> Callable:
    """What SciPy's migration guide recommends in place of ``interp2d`` on a grid."""
    from scipy.interpolate import RectBivariateSpline

    assert kind == 'cubic', kind
    spline = RectBivariateSpline(x, y, z.T)
    return lambda new_x, new_y: spline(new_x, new_y).T
