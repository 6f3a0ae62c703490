"""From what a config calls a class to the class.

A config may write one class in many ways: ``'WaMIM'``, ``'mmpretrain.WaMIM'``,
``'wamim_mm.WaMIM'``, the class itself, MMEngine's lazy object of it, or a subclass by any name. So
the class decides what to do, never the spelling.
"""

from __future__ import annotations

from difflib import get_close_matches
from types import UnionType
from typing import Any

#: The libraries whose registries our commands build models from.
LIBRARIES = ('mmpretrain', 'mmdet', 'mmseg')
#: Heads of mmsegmentation that predict something else than the classes: edges, depth.
OTHER_HEADS = ('STDCHead', 'VPDDepthHead')


def import_custom_modules(cfg: dict) -> None:
    """Import what a config's ``custom_imports`` names, often a whole library.

    Raises:
        ImportError: One of these modules does not exist.
    """
    from mmengine.utils import import_modules_from_strings

    if cfg.get('custom_imports'):
        try:
            import_modules_from_strings(**cfg['custom_imports'])
        except ImportError as error:
            raise ImportError(
                f'custom_imports: {error}; install it, or put its folder on PYTHONPATH'
            ) from error


def class_of(part: dict, kind: str, scope: str | None = None) -> Any:
    """The class, or function, that a part of a config builds. Imports its library.

    Args:
        part: A dict with ``type``: a name, a class or a lazy object; and perhaps ``_scope_``.
        kind: Which of MMEngine's registries it is in, such as ``'MODELS'``.
        scope: The library that names without one belong to, the config's ``default_scope``.

    Raises:
        ValueError: There is no type, or no class is registered under its name.
    """
    from mmengine import registry
    from mmengine.config import ConfigDict

    name = ConfigDict(type=part.get('type')).type  # which makes a class of a lazy object
    if name is None:
        raise ValueError(f'dict({", ".join(part)}) has no type')
    if not isinstance(name, str):
        return name
    scope = part.get('_scope_') or scope or LIBRARIES[0]
    with getattr(registry, kind).switch_scope_and_registry(scope) as own:
        try:
            found = own.get(name)
        except (ImportError, RuntimeError):  # a name with dots whose module does not exist
            found = None
    if found is None:
        raise ValueError(unknown_type(name, scope, getattr(registry, kind).name))
    return found


def unknown_type(name: str, scope: str, kind: str) -> str:
    """What to say of a name that a registry does not have.

    Args:
        name: The name.
        scope: The library whose registry was asked.
        kind: The name of the registry, such as ``'model'``.
    """
    from mmengine import registry

    known: set[str] = set()
    for root in vars(registry).values():
        if isinstance(root, registry.Registry) and root.name == kind:
            known.update(root.module_dict)
            for child in root.children.values():
                own = child.scope == scope
                known.update(key if own else f'{child.scope}.{key}' for key in child.module_dict)
    elsewhere = [full for full in known if full.endswith(f'.{name}')]
    near = elsewhere or get_close_matches(name, known, n=1)
    hint = (
        f'did you mean {near[0]!r}?'
        if near
        else (
            "correct it, write LIBRARY.NAME, or name the class's module in "
            'custom_imports=dict(imports=[...])'
        )
    )
    return f'type={name!r}: no class of this name is registered in {scope}; {hint}'


def name_of(part: dict) -> str:
    """What a part of a config calls its class, with all dots. Imports nothing."""
    # As it is: get() of MMEngine's dict would import a lazy object.
    kind: Any = dict.get(part, 'type')
    if isinstance(kind, type):
        return f'{kind.__module__}.{kind.__qualname__}'
    return kind if isinstance(kind, str) else f'{kind.module}.{kind}'


def short_name(part: dict) -> str:
    """`name_of` without library and module; empty for a part without a type."""
    return name_of(part).rpartition('.')[2] if dict.get(part, 'type') else ''


def builds(part: dict, parent: type | UnionType, kind: str, scope: str | None = None) -> bool:
    """Whether a part of a config builds an instance of a class, or of one that inherits from it.

    Args:
        part: As for `class_of`.
        parent: The class, or several.
        kind: As for `class_of`.
        scope: As for `class_of`.
    """
    cls = class_of(part, kind, scope)
    return isinstance(cls, type) and issubclass(cls, parent)


def pretrained_init(init_cfg: Any) -> dict | None:
    """The part of an ``init_cfg``, a dict or a list of dicts, that loads a checkpoint."""
    from mmengine.model import PretrainedInit

    parts = init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]
    names = ('Pretrained', PretrainedInit)  # what MMEngine itself compares with
    return next((p for p in parts if isinstance(p, dict) and p.get('type') in names), None)


def drop_pretrained(part: Any) -> None:
    """Let no part of a model's config load a checkpoint when its weights are drawn.

    Args:
        part: The config, changed in place.
    """
    if isinstance(part, dict):
        for key, value in list(dict.items(part)):
            if key == 'pretrained':
                part[key] = None
            elif key == 'init_cfg' and pretrained_init(value):
                others = value if isinstance(value, list | tuple) else []
                part[key] = [other for other in others if not pretrained_init(other)] or None
            else:
                drop_pretrained(value)
    elif isinstance(part, list | tuple):
        for value in part:
            drop_pretrained(value)


def name_pretrained(part: Any) -> None:
    """Write every ``init_cfg=dict(type=PretrainedInit)`` of a model's config with ``'Pretrained'``.

    Also where it is alone in a list. mmpretrain's backbones look for a dict with this name. Without
    it, they draw the position embedding anew after it has been loaded.
    """
    if isinstance(part, dict):
        for key, value in list(dict.items(part)):
            found = pretrained_init(value) if key == 'init_cfg' else None
            if found and (found is value or len(value) == 1):
                part[key] = {**found, 'type': 'Pretrained'}
            else:
                name_pretrained(value)
    elif isinstance(part, list | tuple):
        for value in part:
            name_pretrained(value)


def library_class(cls: Any) -> type | None:
    """The class itself or its nearest parent that is mmpretrain's, mmdet's or mmsegmentation's."""
    parents = getattr(cls, '__mro__', ())
    return next((c for c in parents if c.__module__.split('.')[0] in LIBRARIES), None)


def library_of(cfg: dict) -> str | None:
    """The library that a config's model belongs to.

    The name tells it where it can, so that nothing is imported; else the class does.

    Args:
        cfg: A config; what its ``custom_imports`` names is imported if the class is needed.

    Returns:
        One of `LIBRARIES`; where the model is of none of them, or missing, the ``default_scope``.

    Raises:
        ImportError: A module of ``custom_imports`` does not exist.
        ValueError: See `class_of`.
    """
    model, scope = cfg.get('model'), cfg.get('default_scope')
    if not model or 'type' not in model:
        return scope
    scope = model.get('_scope_') or scope
    name = name_of(model)
    first = name.split('.')[0] if '.' in name else scope
    if first == __package__:
        return 'mmpretrain'  # our models inherit from its
    if first in LIBRARIES:
        return first
    import_custom_modules(cfg)
    owner = library_class(class_of(model, 'MODELS', scope))
    return owner.__module__.split('.')[0] if owner else scope
