"""Several processes on a machine without a GPU, which MMEngine does not support."""

import torch
import torch.distributed as dist
from mmengine.config import Config


def use_cpu_processes(cfg: Config) -> None:
    """Make ``--launcher pytorch`` work on CPUs, with gloo; do nothing where there is a GPU.

    MMEngine sets a CUDA device before it starts the process group, and gives that device to the
    model wrapper. It does neither if the group is running already and the wrapper is in the config.
    """
    if cfg.launcher != 'pytorch' or torch.cuda.is_available():
        return
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    if not dist.is_initialized():
        dist.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
