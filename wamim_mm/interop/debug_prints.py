"""MMEngine's ``print_log`` without a logger prints debug messages too.

So whenever they are imported, the fork's mmpretrain, mmdet and mmseg print that a package of their
authors is not installed (``Could not import OneDL``).
"""

import functools
import logging
from importlib import import_module
from typing import Any


def install() -> None:
    """Let ``print_log`` without a logger drop debug messages."""
    names = ('mmengine.logging', 'mmengine.logging.logger')
    modules: list[Any] = [import_module(name) for name in names]
    print_log = modules[0].print_log

    @functools.wraps(print_log)
    def without_debug_prints(msg, logger=None, level=logging.INFO):
        if logger is not None or level > logging.DEBUG:
            print_log(msg, logger, level)

    for module in modules:
        module.print_log = without_debug_prints
