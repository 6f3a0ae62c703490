"""A full disk costs lines of the logs, and not the run.

MMEngine's file of scalars is opened anew for every line, and an error ends the training.
"""

import functools
from typing import Any


def install() -> None:
    """Let LocalVisBackend leave out what it cannot write; calling it again is harmless."""
    from mmengine.logging import print_log
    from mmengine.visualization.vis_backend import LocalVisBackend

    dump = LocalVisBackend._dump
    if hasattr(dump, '__wrapped__'):
        return

    @functools.wraps(dump)
    def dump_or_say(backend: Any, value_dict: dict, file_path: str, file_format: str) -> None:
        try:
            dump(backend, value_dict, file_path, file_format)
        except OSError as error:
            print_log(f'{file_path} lacks a line: {error.strerror or error}', 'current', 40)

    LocalVisBackend._dump = dump_or_say
