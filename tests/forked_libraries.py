"""What the server of `tests.forked` imports once for all."""

from importlib import import_module

import wamim_mm

wamim_mm.register()
for name in ('mmpretrain.models', 'mmdet.models', 'mmseg.models', 'mmseg.datasets'):
    import_module(name)
