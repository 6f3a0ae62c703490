"""MMEngine finds configs, ``LIBRARY::FILE``, in the libraries of a fixed list only.

Upstream: take any installed package with a ``.mim`` folder.
"""


def install() -> None:
    """Let ``wamim_mm::pretrain/wamim_vit-b.py`` name a config of this package."""
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE['wamim_mm'] = 'wamim_mm'
