"""Several processes, on one machine or on many, start alike, or all end with the reason.

What differs between machines goes wrong without a word: another learning rate, or another file
behind the same number, is averaged into the gradients of all.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    get_dist_info,
    init_dist,
    is_distributed,
)
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner, find_latest_checkpoint
from mmengine.utils.dl_utils import set_multi_processing
from torch.nn.parallel import DistributedDataParallel

from ..data.classes import inner
from ..interop.distributed import end_with_launcher, meet_anew, timeout_of, use_cpu_processes
from ..interop.versions import installed_version
from .errors import explain
from .work_dir import holds_checkpoint

if TYPE_CHECKING:
    from mmengine.config import Config

SHARED = 'the work dir must lie on a file system that all machines share, under the same path'
ALIKE = 'start all machines with the same software, config and options'
SOFTWARE = ('torch', 'torchvision', 'numpy', 'pillow', 'PyWavelets')
OPENMMLAB = ('mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmdetection', 'mmsegmentation')
#: Where the data lie may differ; what they are is compared when they have been read.
PLACES = ('data_root', 'data_prefix', 'ann_file', 'shards')
#: Images of a data set whose names and labels are compared.
SAMPLED = 100


@contextmanager
def together(cfg: Config) -> Iterator[Hook]:
    """Let the processes of a job meet, compare themselves, and hear of the failure of one.

    Args:
        cfg: The config of a job with more than one process.

    Yields:
        The hook with the heartbeats, which have begun.

    Raises:
        RuntimeError: They do not reach each other; or another process has failed, or is gone.
        ValueError: Software or config differ between two processes.
    """
    end_with_launcher()
    heartbeat = _meet(cfg)
    try:
        compare(_facts(cfg), ALIKE)
        yield heartbeat
    except Exception as error:
        reason = heartbeat.failed(error, explain(error))
        if reason is None:
            raise
        raise RuntimeError(reason) from error


def _meet(cfg: Config) -> Any:
    """Start the process group, as the Runner would, and the heartbeats, which it will find."""
    from .. import register

    register()
    use_cpu_processes(cfg)
    if cfg.launcher == 'pytorch':
        meet_anew()
    settings = cfg.get('env_cfg') or {}
    set_multi_processing(**settings.get('mp_cfg', {}), distributed=True)
    try:
        if not is_distributed():  # a program may train more than once
            init_dist(cfg.launcher, **settings.get('dist_cfg', {}))
    except RuntimeError as error:
        told = 'with the same NNODES and PORT' if cfg.launcher == 'pytorch' else 'in one job'
        raise RuntimeError(
            f'the processes of the job do not reach each other at MASTER_ADDR='
            f'{os.environ.get("MASTER_ADDR")}, port {os.environ.get("MASTER_PORT")}: were all '
            f'machines started, {told}, and may all ports be used between '
            'them? GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME name the network interface '
            f'({" ".join(str(error).split())[:200]})'
        ) from error
    heartbeat = HOOKS.build(dict(type='HeartbeatHook', timeout=timeout_of(cfg)))
    heartbeat.begin(*get_dist_info())
    return heartbeat


def agree(work_dir: str, resume: str | None, again: bool) -> tuple[str | None, bool]:
    """Let the first process decide for all whether the run goes on from a checkpoint.

    Args:
        work_dir: The work dir.
        resume: What this process was told: a checkpoint, ``'auto'``, or None.
        again: Whether it was started in the place of another.

    Returns:
        The same for all: a run in which any process was started again goes on.

    Raises:
        ValueError: The first process sees a checkpoint in the work dir, and another does not.
    """
    again, holds = any(all_gather_object(again)), holds_checkpoint(work_dir)
    resume = first_says('auto' if again and holds else resume)
    if resume == 'auto':
        compare({f'a checkpoint in {Path(work_dir).absolute()}': holds}, SHARED)
    return resume, again


def first_says(value: Any) -> Any:
    """What the first process gives, in all."""
    values = [value]
    broadcast_object_list(values)
    return values[0]


def compare(facts: dict[str, Any], fix: str) -> None:
    """Raise ValueError where what a process says differs from what the first one says.

    Args:
        facts: Name -> value.
        fix: What to do about it, the end of the message.
    """
    everyone = all_gather_object((socket.gethostname(), facts))
    first_host, first = everyone[0]
    for rank, (host, other) in enumerate(everyone):
        names = [name for name in {**first, **other} if first.get(name) != other.get(name)]
        if names:
            name = names[0]
            more = f' (and {len(names) - 1} more differ)' if len(names) > 1 else ''
            raise ValueError(
                f'process {rank} on {host} differs from process 0 on {first_host}: {name} is '
                f'{_short(other.get(name))} there, and {_short(first.get(name))} on {first_host}'
                f'{more}; {fix}'
            )


def _short(value: Any) -> str:
    text = 'missing' if value is None else str(value)
    return text if len(text) <= 100 else f'{text[:100]}...'


def _facts(cfg: Config) -> dict[str, Any]:
    """The software, and all of the config but where the data lie."""
    facts: dict[str, Any] = {'Python': platform.python_version()}
    for name in SOFTWARE:
        facts[name] = installed_version(name)
    for name in OPENMMLAB:
        facts[name] = installed_version(f'onedl-{name}') or installed_version(name)
    package = Path(__file__).resolve().parent.parent
    for file in sorted(package.rglob('*.py')):
        name = file.relative_to(package.parent).as_posix()
        facts[f'the file {name}'] = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    facts.update(_flat(cfg.to_dict(), ''))
    return facts


def _flat(config: Any, name: str) -> Iterator[tuple[str, str]]:
    """A config's values, each by its whole name."""
    if isinstance(config, dict) and config:
        for key, value in config.items():
            if key not in PLACES:
                yield from _flat(value, f'{name}.{key}' if name else str(key))
    elif isinstance(config, list | tuple) and any(isinstance(part, dict) for part in config):
        for i, part in enumerate(config):
            yield from _flat(part, f'{name}.{i}')
    else:
        # Objects whose text has their place in memory differ in that alone.
        yield name, re.sub(r' at 0x[0-9a-f]+', '', repr(config))


def compare_data(runner: Runner, loaders: tuple[str, ...]) -> None:
    """Raise ValueError where the data sets of two processes differ.

    Args:
        runner: With the loops of the loaders.
        loaders: Names of data loaders.
    """
    facts: dict[str, Any] = {}
    for name in loaders:
        loop = getattr(runner, f'_{name.replace("dataloader", "loop")}')
        dataset: Any = getattr(getattr(loop, 'dataloader', None), 'dataset', None)
        if hasattr(dataset, '__len__'):
            facts[f'the number of images of {name}'] = len(dataset)
            parts = list(inner(dataset))
            for number, part in enumerate(parts):
                called = name if len(parts) == 1 else f'part {number} of {name}'
                facts.update(_sample(called, part))
    compare(facts, 'put the same data on all machines')


def _sample(name: str, dataset: Any) -> Iterator[tuple[str, Any]]:
    """Names, under the data root, and labels of some images."""
    if not isinstance(dataset, BaseDataset):
        return
    root = str(dataset.data_root or '')
    for i in range(0, len(dataset), max(1, len(dataset) // SAMPLED)):
        info = dataset.get_data_info(i)
        if isinstance(info, dict) and isinstance(info.get('img_path'), str):
            path = info['img_path']
            path = path.removeprefix(root).lstrip('/') if root else Path(path).name
            yield f'image {i} of {name}', f'{path}, label {info.get("gt_label")}'


class SameStateHook(Hook):
    """Refuses to train where processes begin at different steps, or with different weights.

    MMEngine lets each process load the checkpoint that it finds.
    """

    priority = 'LOWEST'

    def before_run(self, runner: Runner) -> None:
        """Go on from the checkpoint that the first process finds; others may see it later."""
        if runner._resume and runner._load_from is None:
            runner._load_from = first_says(find_latest_checkpoint(runner.work_dir))

    def before_train(self, runner: Runner) -> None:
        """Compare the state of all processes.

        Raises:
            ValueError: They differ.
        """
        facts: dict[str, Any] = {'the iteration to go on from': runner.iter}
        if isinstance(runner.model, DistributedDataParallel):  # others may split the weights
            parameters = dict(runner.model.module.named_parameters())
            sums = [_sum(parameter) for parameter in parameters.values()]
            totals = torch.stack(sums).tolist() if sums else []
            facts |= {f'the checksum of {n}': s for n, s in zip(parameters, totals, strict=True)}
        compare(facts, SHARED)


def _sum(tensor: torch.Tensor) -> torch.Tensor:
    """Of the bytes, which no order of adding changes."""
    return tensor.detach().contiguous().flatten().view(torch.uint8).sum(dtype=torch.int64)
