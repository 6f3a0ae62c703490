"""A checkpoint that a command looks at, and the config that goes with it."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..class_names import import_custom_modules
from .checks import read_config
from .launch import add_cfg_options, merge_options

if TYPE_CHECKING:
    from mmengine.config import Config


def add_checkpoint(parser: ArgumentParser) -> None:
    """Let a command take a checkpoint, a config before it, and changes of the config."""
    parser.add_argument('config', nargs='?', help="(the checkpoint's own)")
    parser.add_argument('checkpoint')
    add_cfg_options(parser)


@contextmanager
def given_config(
    path: str | None, checkpoint: str, options: dict[str, Any] | None = None
) -> Iterator[Config]:
    """The config that was given with its modules imported, or else the one in the checkpoint.

    A checkpoint may come from anybody: inside this context its config names what is registered, and
    modules of its ``custom_imports`` are not imported.

    Args:
        path: As for `read_config`; None where only a checkpoint was given.
        checkpoint: A checkpoint.
        options: Those of ``--cfg-options``.

    Raises:
        FileNotFoundError, ImportError: As `read_config`.
        ValueError: The config cannot be read, or the checkpoint has none; or an option sets what
            nothing reads, or a value that cannot be.
    """
    if path is not None:
        cfg = read_config(path)
        import_custom_modules(cfg)
        merge_options(cfg, options or {})
        yield cfg
        return
    from ..evaluation.models import checkpoint_config
    from ..interop.untrusted import registered_only

    cfg = checkpoint_config(checkpoint)
    with registered_only():
        merge_options(cfg, options or {})
        yield cfg
