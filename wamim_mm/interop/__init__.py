"""Everything that exists because other libraries differ."""

from . import checkpoints, mmcv_ext, multimodal
from .versions import check_versions

__all__ = ['prepare']


def prepare() -> None:
    """Check the libraries, stand in for compiled operators, and make loading checkpoints safe.

    Raises:
        ImportError: A library is missing, too old, or does not fit another.
    """
    check_versions()
    mmcv_ext.install()
    multimodal.install()
    checkpoints.install()
