"""wamim_mm's patches, for programs that import a library of OpenMMLab and not wamim_mm.

mmdet's own tools and `mim train` are such programs. Where mmcv has no compiled operators or
transformers is new, the libraries cannot even be imported without those patches.

Python runs wamim_mm_at_start.pth, beside this file, whenever it starts; that imports this module,
which imports nothing until one of the libraries is wanted. To be without it, remove the two files.
"""

import sys
from importlib.util import find_spec as find_spec_of

LIBRARIES = ('mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg')


class PatchesFirst:
    """A finder that imports wamim_mm before the first of these libraries is found."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        """What the other finders find, wamim_mm's among them from then on."""
        if name not in LIBRARIES or cls not in sys.meta_path:
            return None
        sys.meta_path.remove(cls)
        import wamim_mm  # noqa: F401

        return find_spec_of(name)


if 'wamim_mm' not in sys.modules:
    sys.meta_path.insert(0, PatchesFirst)
