"""mmcv's operators where mmcv was installed without compiled ones.

mmdet cannot be imported without `mmcv._ext`, the compiled operators. `install` puts the module
`mmcv_ops` beside this one, made of torchvision and plain torch, in its place.
"""

import importlib
import importlib.util
import sys
import warnings
from pathlib import Path

__all__ = ['install']

_NAME = 'mmcv._ext'
_STAND_IN = str(Path(__file__).with_name('mmcv_ops.py'))


def install() -> bool:
    """Make `mmcv.ops` usable without compiled operators; does nothing where there are some.

    Call it before anything imports `mmcv.ops` or `mmdet.models`; `mmcv` itself, and `mmcv.cnn`,
    may have been imported. A second call changes nothing. Needs torchvision if it has to act.

    Returns:
        True if the stand-in is in place. False if mmcv has compiled operators, which it then goes
        on using, or is not installed.

    Warns:
        UserWarning: if mmcv has compiled operators that do not load, such as after an update of
            torch. The stand-in is put in their place.
    """
    if importlib.util.find_spec('mmcv') is None:
        return False
    package = importlib.import_module('mmcv')  # its own errors are not ours to hide
    try:
        return getattr(importlib.import_module(_NAME), '__file__', None) == _STAND_IN
    except ImportError as error:
        if importlib.util.find_spec(_NAME) is not None:
            warnings.warn(
                f"mmcv's compiled operators do not load ({error}). torchvision takes their place, "
                'in part; reinstall mmcv for the torch that is installed now to have all of them.',
                stacklevel=2,
            )

    # Loaded under mmcv's name, so that the module has a spec: mmengine looks for one.
    spec = importlib.util.spec_from_file_location(_NAME, _STAND_IN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[_NAME] = package._ext = module
    return True
