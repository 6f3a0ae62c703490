"""The official MMEngine looks for a library where its distribution lies.

The code of an editable install is elsewhere. Upstream: ask Python's import system.
"""

import functools
from collections.abc import Callable
from pathlib import Path


def install() -> None:
    """Let MMEngine find this package, however it was installed; calling it again is harmless."""
    from mmengine.utils import package_utils

    find: Callable[[str], str] = package_utils.get_installed_path
    if hasattr(find, '__wrapped__'):
        return

    @functools.wraps(find)
    def found(package: str) -> str:
        return str(Path(__file__).parents[1]) if package == 'wamim_mm' else find(package)

    package_utils.get_installed_path = found
