"""What the conversions share."""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from mmpretrain.models import SwinTransformer
from torch import Tensor

from ..interop.saving import write_checkpoint

Rules = list[tuple[str, str | Callable[[re.Match], str]]]


class Handover(NamedTuple):
    """A backbone made ready for a target.

    Attributes:
        save: Writes it to a path.
        usage: Lines that load it, with OUT for the path.
        left_out: Names of weights that the target has no place for.
    """

    save: Callable[[Path], None]
    usage: list[str]
    left_out: list[str]


def write(state: dict[str, Tensor], out: Path, config: str = '') -> None:
    """Write a state dict by torch, or by safetensors where the name ends so.

    Args:
        state: The tensors, which may share memory.
        out: The file.
        config: Of the run; empty for none. With it the file is a checkpoint of MMEngine's.

    Raises:
        ImportError: safetensors is not installed.
        OSError: It cannot be written.
    """
    if out.suffix != '.safetensors':
        content = dict(state_dict=state, meta=dict(cfg=config)) if config else state
        write_checkpoint(content, str(out))
        return
    meta = dict(format='pt', cfg=config) if config else dict(format='pt')
    # Copies, as safetensors refuses tensors that share memory.
    own = {name: tensor.contiguous().clone() for name, tensor in state.items()}
    try:
        from safetensors import SafetensorError
        from safetensors.torch import save_file
    except ImportError as error:
        raise ImportError(f'{out} needs safetensors ({error}): pip install safetensors') from error
    try:
        save_file(own, out, meta)
    except SafetensorError as error:
        raise OSError(f'{out} was not written: {error}') from error


def rename(weights: dict[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """Apply every rule, a pattern and its replacement as for `re.sub`, to every name in turn."""
    renamed = {}
    for name, tensor in weights.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def without(weights: dict[str, Tensor], left_out: list[str]) -> dict[str, Tensor]:
    """All weights but some."""
    return {name: tensor for name, tensor in weights.items() if name not in left_out}


def reorder_patch_merging(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the 4 C inputs of each of Swin's patch mergings the order of the original code.

    mmcv unfolds 2 x 2 patches: channel outermost, then row, then column. The original, timm and
    transformers put one patch after another: column outermost, then row, then channel.
    """
    return {
        name: tensor.unflatten(-1, (-1, 2, 2)).transpose(-1, -3).flatten(-3)
        if '.downsample.' in name
        else tensor
        for name, tensor in weights.items()
    }


def last_norm(swin: SwinTransformer) -> str:
    """Name of the norm of Swin's last stage.

    Raises:
        ValueError: It has none, because the last stage is not an output.
    """
    last = len(swin.depths) - 1
    if last not in swin.out_indices:
        raise ValueError(
            f'SwinTransformer with out_indices={tuple(swin.out_indices)} lacks the norm of its '
            f'last stage ({last}), with which the model in timm and transformers ends; --to '
            'mmpretrain, mmdet or mmseg does without it'
        )
    return f'norm{last}'


def call(function: str, *args: Any, **kwargs: Any) -> str:
    """The text of a call, with dicts as calls too, as in configs."""

    def text(value: Any) -> str:
        return call('dict', **value) if isinstance(value, dict) else repr(value)

    parts = [*map(text, args), *(f'{name}={text(value)}' for name, value in kwargs.items())]
    return f'{function}({", ".join(parts)})'


def side(pair: tuple[int, int]) -> int | tuple[int, int]:
    """A height and width as one number where they are equal."""
    return pair[0] if pair[0] == pair[1] else (pair[0], pair[1])


def library(name: str, target: str | None = None) -> ModuleType:
    """Import a target, or what it needs.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f'--to {target or name} needs {name} ({error}): pip install {name}'
        ) from error
