"""Everything that exists because other libraries differ."""

from . import checkpoints, mmcv_ext, multimodal, position_bias
from .versions import check_versions

__all__ = ['prepare']


def prepare() -> None:
    """Check the libraries, make up for what they lack, and make loading checkpoints safe.

    Raises:
        ImportError: A library is missing, too old, or does not fit another.
    """
    check_versions()
    mmcv_ext.install()
    multimodal.install()
    position_bias.install()
    checkpoints.install()
