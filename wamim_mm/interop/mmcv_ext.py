"""mmcv's operators where mmcv was installed without compiled ones.

mmdet cannot be imported without `mmcv._ext`, the compiled operators. After `install`, the module
`mmcv_ops.stand_in`, made of torchvision and plain torch, is imported in its place.
"""

import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ['install']

_NAME = 'mmcv._ext'
_STAND_IN = Path(__file__).parent / 'mmcv_ops' / 'stand_in.py'


def install() -> None:
    """Make `mmcv.ops` importable without compiled operators; calling it again changes nothing.

    Compiled operators are used if there are any. Nothing is imported until something imports
    `mmcv._ext`; then torchvision is needed.

    Warns:
        UserWarning: at that moment, if mmcv has compiled operators that do not load, for example
            after an update of torch. The stand-in is used in their place.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds mmcv's compiled operators, or the stand-in if there are none."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != _NAME:
            return None
        # Under mmcv's name, so that the module has a spec: mmengine looks for one.
        stand_in = spec_from_file_location(_NAME, _STAND_IN)
        assert stand_in is not None  # None is for suffixes that are not Python's
        compiled = PathFinder.find_spec(name, path, target)
        if compiled is None:
            return stand_in
        compiled.loader = _CompiledOrStandIn(compiled, stand_in)
        return compiled


class _CompiledOrStandIn(Loader):
    """Loads compiled operators, or the stand-in if they do not load."""

    def __init__(self, compiled: ModuleSpec, stand_in: ModuleSpec) -> None:
        self.loader: Any = compiled.loader
        self.stand_in = stand_in

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        try:
            return self.loader.create_module(spec)
        except ImportError as error:
            self._turn_to_stand_in(error)
            return None

    def exec_module(self, module: ModuleType) -> None:
        try:
            self.loader.exec_module(module)
        except ImportError as error:
            self._turn_to_stand_in(error)
            self.loader.exec_module(module)
        if self.loader is self.stand_in.loader:
            module.__spec__, module.__file__ = self.stand_in, self.stand_in.origin

    def _turn_to_stand_in(self, error: ImportError) -> None:
        if self.loader is self.stand_in.loader:
            raise error
        warnings.warn(
            f"mmcv's compiled operators do not load ({error}). torchvision takes their place, "
            'in part; reinstall mmcv for the torch that is installed now to have all of them.',
            stacklevel=2,
        )
        self.loader = self.stand_in.loader
