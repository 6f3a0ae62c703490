"""How many cores this process may use: ``os.process_cpu_count`` of Python 3.13 for older ones."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores that this process may use: a job on a cluster has fewer than its machine.

    Returns:
        At least 1.
    """
    if hasattr(os, 'sched_getaffinity'):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
