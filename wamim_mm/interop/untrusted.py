"""A config out of a checkpoint names classes that are registered, and runs nothing else.

MMEngine imports a ``type`` that no registry has, and calls what it finds: of a config out of a
hostile file ``dict(type='subprocess.getoutput', cmd='...')`` runs the command. A few libraries give
strings of a config to ``eval``. Upstream: look names up in the registries alone where the config
comes out of a checkpoint, and replace ``eval`` by ``getattr``.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ['check_untrusted', 'install', 'registered_only']

#: Their modules are imported where a config out of a checkpoint names them.
LIBRARIES = ('mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg', 'torch', 'wamim_mm')
#: Keys whose values name what is looked up, imported, or given to ``eval``.
_NAMING = ('type', '_scope_', 'default_scope', 'dtype', 'warp_mode')
#: Keys whose values are run: another config, and code that transformers downloads.
_RUN = ('teacher_config', 'trust_remote_code')

_guarded: ContextVar[bool] = ContextVar('guarded', default=False)


def check_untrusted(config: Any, name: str = '') -> None:
    """Look for what the libraries would run, in a config that is to be built.

    Args:
        config: Plain data.
        name: Of this part, for the message.

    Raises:
        ValueError: It names something that is no class, or a module that is not imported, or asks
            for another file to be run.
    """
    items: Any = config.items() if isinstance(config, dict) else enumerate(config)
    for key, value in items:
        full = f'{name}.{key}'.lstrip('.')
        if isinstance(value, dict | list | tuple):
            check_untrusted(value, full)
        elif (key in _RUN and value) or (key in _NAMING and not _is_harmless(value)):
            raise ValueError(
                f'{full}={value!r} is not taken from a checkpoint, since it may run code of its '
                'author; give the config yourself, or import your own modules first'
            )


def _is_harmless(name: Any) -> bool:
    if not isinstance(name, str):
        return name is None
    return (_is_known(name) or '.' not in name) and bool(re.fullmatch(r'[\w.]+(/\w+)?', name))


def _is_known(name: str) -> bool:
    """Whether it starts with a library, or with a module that is imported already."""
    first = name.split('.')[0]
    return first in LIBRARIES or first in sys.modules


def _is_of_a_library(name: str) -> bool:
    """Whether it lies in a library, and in no module that is a program."""
    first, *rest = name.split('.')
    return first in LIBRARIES and bool(rest) and '__main__' not in rest


def _loaded(name: str) -> Any:
    """What has this name in the modules that are imported; None if there is nothing."""
    parts = name.split('.')
    for length in range(len(parts) - 1, 0, -1):
        thing: Any = sys.modules.get('.'.join(parts[:length]))
        if thing is not None:
            for part in parts[length:]:
                thing = vars(thing).get(part) if hasattr(thing, '__dict__') else None
            return thing
    return None


@contextmanager
def registered_only() -> Iterator[None]:
    """In this context a registry finds what is registered, and imports nothing else."""
    token = _guarded.set(True)
    try:
        yield
    finally:
        _guarded.reset(token)


def _registered() -> Iterator[Any]:
    """All that any registry has."""
    from mmengine import registry

    waiting = [value for value in vars(registry).values() if isinstance(value, registry.Registry)]
    while waiting:
        one = waiting.pop()
        waiting += one.children.values()
        yield from one.module_dict.values()


def install() -> None:
    """Let registries keep to that in the context; calling it again is harmless."""
    from mmengine.registry import registry

    find, import_module = registry.get_object_from_string, registry.import_module
    if hasattr(find, '__wrapped__'):
        return

    @functools.wraps(find)
    def found(name: str) -> Any:
        if not _guarded.get():
            return find(name)
        thing = find(name) if _is_of_a_library(name) else _loaded(name)
        return thing if any(thing is one for one in _registered()) else None

    @functools.wraps(import_module)
    def imported(name: str) -> Any:
        if _guarded.get() and name not in sys.modules and not _is_of_a_library(name):
            raise ImportError(f'{name} is not imported, as a checkpoint names it')
        return import_module(name)

    registry.get_object_from_string = found
    registry.import_module = imported
