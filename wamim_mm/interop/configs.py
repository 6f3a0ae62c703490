"""MMEngine finds configs, ``LIBRARY::FILE``, in the libraries of a fixed list only.

And it takes the name of the library for the scope of what a config inherits from it, where ours is
no registry of its own: its classes are mmpretrain's, and its configs say their scope. Upstream:
take any installed package with a ``.mim`` folder, and ask whether there is such a scope.
"""

import functools


def install() -> None:
    """Let ``wamim_mm::pretrain/wamim_vit-b.py`` name a config of this package, in ``_base_`` too.

    Calling it again is harmless.
    """
    from mmengine.config import Config
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE['wamim_mm'] = 'wamim_mm'
    find = Config._get_cfg_path
    if hasattr(find, '__wrapped__'):
        return

    @functools.wraps(find)
    def found(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = find(cfg_path, filename)
        return path, None if scope == 'wamim_mm' else scope

    Config._get_cfg_path = staticmethod(found)
