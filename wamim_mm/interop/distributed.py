"""Several processes: their timeout, and machines without a GPU, which MMEngine does not support."""

import ctypes
import os
import signal
import sys
from pathlib import Path

import torch
from mmengine.config import Config

from .addresses import interface_towards

#: Linux: the signal that a process gets when its parent has ended (``linux/prctl.h``).
_PR_SET_PDEATHSIG = 1
#: There where a GPU of NVIDIA's is, in containers too.
DRIVER = Path('/dev/nvidiactl')
#: Where a launcher says which process of its machine this one is, as MMEngine reads it.
LOCAL_RANKS = {
    'pytorch': 'LOCAL_RANK',
    'slurm': 'SLURM_LOCALID',
    'mpi': 'OMPI_COMM_WORLD_LOCAL_RANK',
}


def use_cpu_processes(cfg: Config) -> None:
    """Let every launcher start processes on CPUs, with gloo; do nothing where there is a GPU.

    MMEngine sets a CUDA device before it starts the process group, and gives that device to the
    model wrapper. It does not do the second if the wrapper is in the config.

    Raises:
        ValueError: There are fewer GPUs than processes on this machine.
    """
    if cfg.launcher == 'none':
        return
    if torch.cuda.is_available():
        _check_gpus(cfg.launcher)
        return
    torch.cuda.set_device = lambda device: None
    if 'GLOO_SOCKET_IFNAME' not in os.environ and 'MASTER_ADDR' in os.environ:
        interface = interface_towards(os.environ['MASTER_ADDR'])
        if interface is not None:
            os.environ['GLOO_SOCKET_IFNAME'] = interface
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    if (cfg.get('strategy') or {}).get('type') == 'DDPStrategy':
        cfg.strategy.setdefault('model_wrapper', cfg.model_wrapper_cfg)


def _check_gpus(launcher: str) -> None:
    """Let this process take a GPU that is there; MMEngine takes that of its number."""
    count = torch.cuda.device_count()
    number = int(os.environ.get(LOCAL_RANKS[launcher], '0'))
    if launcher == 'slurm' and count == 1:  # Slurm shows each process a GPU of its own
        os.environ['SLURM_LOCALID'] = '0'
    elif number >= count:
        raise ValueError(
            f'process {number} of this machine needs a GPU of its own, and torch sees {count}; '
            'start as many processes as there are GPUs'
        )


def unusable_gpu() -> str:
    """What to say where there is a GPU, and torch cannot use it; else nothing."""
    hidden = os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1', 'NoDevFiles')
    if hidden or torch.cuda.is_available() or not DRIVER.exists():
        return ''
    return (
        f'this machine has an NVIDIA GPU, which torch {torch.__version__} cannot use (nvidia-smi '
        'shows the driver, which may be older than it needs): this runs on CPUs'
    )


def timeout_of(cfg: Config) -> float:
    """Seconds after which a process group gives up: what the config says, or torch's own number."""
    given = cfg.get('env_cfg', {}).get('dist_cfg', {})
    return given.get('timeout') or (600 if given.get('backend', 'nccl') == 'nccl' else 1800)


def meet_anew() -> None:
    """Let processes that torchrun has started again meet in a store of their own.

    torchrun's store still has the addresses of those that ended, and the new ones would wait for
    them. With ``--rdzv-backend=c10d`` torch may do so itself.
    """
    restarts = int(os.environ.get('TORCHELASTIC_RESTART_COUNT', '0'))
    if restarts and os.environ.get('TORCHELASTIC_USE_AGENT_STORE') == 'True':
        os.environ['TORCHELASTIC_USE_AGENT_STORE'] = 'False'
        # The first process offers it at a port that torchrun has not taken.
        os.environ['MASTER_PORT'] = str(int(os.environ['MASTER_PORT']) + restarts)


def end_with_launcher() -> None:
    """Let a process that torchrun has started be told to stop when torchrun is killed.

    torchrun cannot end its processes then: they would train on, and keep the work dir from a new
    start. SIGTERM lets them save first (see `hooks.stop`). Linux only.
    """
    if 'TORCHELASTIC_RUN_ID' in os.environ and sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
