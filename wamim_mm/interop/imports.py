"""Patches are applied when their library is imported: no library is imported to be patched."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ['after_import', 'around_import']


def after_import(module: str, patch: Callable[[], object]) -> None:
    """Call ``patch`` after ``module`` is imported; at once if it is imported already."""

    @contextmanager
    def patched():
        yield
        patch()

    around_import(module, patched)


def around_import(module: str, context: Callable[[], AbstractContextManager]) -> None:
    """Run the code of ``module`` in a context; if it has run already, only enter and leave it."""
    finder = next((f for f in sys.meta_path if isinstance(f, _Finder)), None)
    if finder is None:
        # One of an earlier import of this module would ask this one, and be asked by it, for ever.
        sys.meta_path[:] = [f for f in sys.meta_path if not getattr(f, 'is_patch_finder', False)]
        finder = _Finder()
        sys.meta_path.insert(0, finder)
    finder.contexts.setdefault(module, []).append(context)
    if module in sys.modules:
        with context():
            pass


class _Finder(MetaPathFinder):
    """Finds what the other finders find, and runs its code in the contexts."""

    is_patch_finder = True

    def __init__(self) -> None:
        self.contexts: dict[str, list[Callable[[], AbstractContextManager]]] = {}

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name not in self.contexts:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            _extend(spec.loader, self.contexts[name])
        return spec


def _extend(loader: Any, contexts: list[Callable[[], AbstractContextManager]]) -> None:
    exec_module = loader.exec_module

    def exec_in_contexts(module: ModuleType) -> None:
        with ExitStack() as stack:
            for context in contexts:
                stack.enter_context(context())
            exec_module(module)

    loader.exec_module = exec_in_contexts
