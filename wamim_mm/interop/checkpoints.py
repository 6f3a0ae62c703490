"""Checkpoints are data: MMEngine loads every one of them with torch's `weights_only`.

Local files of safetensors, which MMEngine does not know, are read too.

MMEngine's own checkpoints hold a few classes that torch's weights-only unpickler does not know, so
the official mmengine 0.10.7 cannot resume under torch >= 2.6. onedl-mmengine 0.10.12 loads a
refused file a second time, with `weights_only=False`, and so runs the code in a hostile file; its
first attempt allows the real `getattr`, which is enough to run code as well. In both, downloads
over http are loaded with `weights_only=False`.

Not patched are FlexibleRunner's DeepSpeed and ColossalAI engines, which read files themselves; and
the official mmengine's loaders for pavi, petrel and files under MMENGINE_HOME, which leave
`weights_only` to torch's default (True, unless TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set).
"""

from __future__ import annotations

import errno
import functools
import os
import re
import zipfile
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import torch

from .arrays import allowed_arrays

# The text of a refusal by torch >= 2.6. All other errors of the unpickler are damaged or foreign
# files.
_REFUSED = re.compile(
    r"GLOBAL ([\w.]*\w) |unrecognized function (<[^>]+>)|got <class '([^']+)'>", re.ASCII
)
# A damaged file can end in any exception. RuntimeErrors with these words have other causes.
_OTHER_CAUSE = re.compile(r'cuda|device|memory', re.IGNORECASE)

_load = functools.partial(torch.load, weights_only=True)
_load_url = functools.partial(torch.hub.load_state_dict_from_url, weights_only=True)


def _allowed() -> list[tuple[Any, str]]:
    """All that MMEngine's checkpoints hold beyond tensors and builtins, by the name in the file."""
    from mmengine.logging import HistoryBuffer
    from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

    methods = {
        HistoryBuffer: ('min', 'max', 'current', 'mean'),
        OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
    }

    def method(owner: Any, name: str) -> Any:
        """Replaces `getattr`: a pickle of protocol 2 writes a method as `getattr(cls, name)`.

        The real one must not be on the list: with it a file can reach any attribute of any object
        (`__globals__`, ...), and can call it through torch's own `_rebuild_from_type_v2`.
        """
        if not isinstance(owner, type) or name not in methods.get(owner, ()):
            owner = getattr(owner, '__qualname__', type(owner).__qualname__)
            raise UnpicklingError(f'unrecognized function <getattr({owner}, {name})>')
        return getattr(owner, name)

    # The message hub logs each scalar in a HistoryBuffer, which pickles its statistics with it;
    # OneCycle schedulers keep their annealing function.
    allowed = [(cls, f'{cls.__module__}.{cls.__qualname__}') for cls in methods]
    allowed.append((method, 'builtins.getattr'))
    # A HistoryBuffer is two arrays; best scores and dataset_meta hold scalars and arrays.
    return allowed + allowed_arrays()


def _explained(loader: Callable[..., Any]) -> Callable[..., Any]:
    """Let `loader` say which file it could not load, why, and what to do."""

    @functools.wraps(loader)  # CheckpointLoader logs the name
    def load(filename: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return loader(filename, *args, **kwargs)
        except Exception as error:
            text = str(error)
            refused = isinstance(error, UnpicklingError) and _REFUSED.search(text)
            if refused:
                name = next(filter(None, refused.groups()))
                raise UnpicklingError(
                    f'{filename} is refused: it holds {name}, and only weights are loaded, since '
                    'any other class or function may run code of whoever wrote the file. If you '
                    'trust them, either allow this one before loading, with '
                    f'`torch.serialization.add_safe_globals([{name}])`, or convert the file once: '
                    f'`torch.save(torch.load({filename!r}, weights_only=False)["state_dict"], '
                    '"weights.pth")`.'
                ) from None
            if isinstance(error, OSError):
                unreadable = error.errno == errno.EINVAL  # a seek to before the start of a cut file
            elif isinstance(error, RuntimeError):
                unreadable = _OTHER_CAUSE.search(text) is None
            else:
                unreadable = not isinstance(error, ImportError)
            if not unreadable:
                raise
            reason = text.split('WeightsUnpickler error:')[-1].strip().split('\n')[0]
            reason = f'{type(error).__name__}: {reason}' if reason else type(error).__name__
            writer = 'safetensors' if _is_safetensors(filename) else 'torch.save'
            raise RuntimeError(
                f'{filename} cannot be read as a checkpoint ({reason}). Either its download or its '
                f'saving was interrupted, or {writer} did not write it: get it again (after '
                'removing the copy of a download from '
                f'{os.path.join(torch.hub.get_dir(), "checkpoints")}).'
            ) from None

    return load


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Do what MMEngine's loader of that name does, with weights only, from a file that is whole.

    A file whose name ends in ``.safetensors`` is read as one. It holds tensors alone, and of a
    `meta` no more than the config, ``cfg``, if `tools/export_backbone.py` has written it.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: It is of safetensors, which is not installed.
        RuntimeError: A part of it does not have the checksum that it was written with.
    """
    filename = os.path.expanduser(filename)
    if not os.path.isfile(filename):
        raise FileNotFoundError(f'{filename} can not be found.')  # as MMEngine words it
    if _is_safetensors(filename):
        return _load_safetensors(filename, map_location)
    if zipfile.is_zipfile(filename):  # as torch has written files since 1.6; it does not look
        with zipfile.ZipFile(filename) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise RuntimeError(f'corrupt archive: {damaged} does not have its checksum')
    return _load(filename, map_location=map_location)


def _is_safetensors(filename: str) -> bool:
    return str(filename).endswith('.safetensors')


def _load_safetensors(filename: str, map_location: Any) -> dict:
    try:
        import safetensors
    except ImportError as error:
        raise ImportError(f'{filename}: {error}; pip install safetensors') from error

    # Of torch's other kinds of places, functions and tables, the model makes do with the CPU's.
    device = map_location if isinstance(map_location, str | torch.device) else 'cpu'
    try:
        with safetensors.safe_open(filename, framework='pt') as file:
            state = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118
            config = (file.metadata() or {}).get('cfg')
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None
    return {'state_dict': state} | ({} if config is None else {'meta': {'cfg': config}})


def install() -> None:
    """Let every loader of MMEngine load weights only; calling it again is harmless.

    Afterwards `load_checkpoint`, `CheckpointLoader`, `Runner.resume`, `init_cfg=dict(type=
    'Pretrained')` and the rest raise an error that names the file and says what to do:

    * `pickle.UnpicklingError` for a file that holds a class outside the allow-list,
    * `RuntimeError` for a file that is cut short, damaged or no checkpoint,
    * `FileNotFoundError` for a file that is not there.
    """
    from mmengine.runner import checkpoint

    if checkpoint.load_url is _load_url:
        return
    torch.serialization.add_safe_globals([*_allowed()])
    # Two patches, because MMEngine has no hook at these places. The first is for http(s)://,
    # torchvision://, open-mmlab:// and mmcls://, which all download through this name; the second
    # is for onedl-mmengine's other loaders. The official mmengine has no such function.
    checkpoint.load_url = _load_url
    if hasattr(checkpoint, '_safe_torch_load'):
        checkpoint._safe_torch_load = _load
    loaders = {**checkpoint.CheckpointLoader._schemes, '': load_from_local}
    for prefix, loader in loaders.items():
        checkpoint.CheckpointLoader.register_scheme(prefix, _explained(loader), force=True)
