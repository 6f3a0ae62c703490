"""A few steps of pre-training, to see how long one takes here and what memory it needs."""

import resource
import time
from typing import NamedTuple

import torch
from mmengine.config import Config

from .models import build_model

__all__ = ['Trial', 'try_steps']

#: Those that are timed, and those before, in which memory is taken and kernels are chosen.
STEPS, FIRST_STEPS = 2, 1


class Trial(NamedTuple):
    """What a step costs.

    Attributes:
        batch_size: Images of a step.
        seconds: It took.
        memory: Bytes, of the GPU's memory or of the process's on a CPU.
        parameters: Of the model.
    """

    batch_size: int
    seconds: float
    memory: int
    parameters: int


def try_steps(cfg: Config, size: int, batch_size: int) -> Trial:
    """Take some steps on random images; on a GPU with half the batch as long as memory is short.

    Args:
        cfg: A pre-training config, for square colour images; its steps have the optimizer
            wrapper's precision.
        size: Their side in pixels.
        batch_size: Images of a step.

    Raises:
        torch.cuda.OutOfMemoryError: Not even one image fits.
    """
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    while True:
        try:
            return _steps(cfg, size, batch_size, device)
        except torch.cuda.OutOfMemoryError:
            if batch_size == 1:
                raise
        # Only here nothing holds the model any more.
        torch.cuda.empty_cache()
        batch_size //= 2


def _steps(cfg: Config, size: int, batch_size: int, device: torch.device) -> Trial:
    gpu = device.type == 'cuda'
    given = cfg.optim_wrapper.get('dtype')  # of mixed precision
    dtype = getattr(torch, given) if given else None
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    with torch.random.fork_rng(devices=[]):
        model = build_model(cfg).to(device).train()
        optimizer = torch.optim.AdamW(model.parameters())
        images = torch.randn(batch_size, 3, size, size, device=device)
        for step in range(FIRST_STEPS + STEPS):
            if step == FIRST_STEPS:
                if gpu:
                    torch.cuda.synchronize()
                started = time.perf_counter()
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                loss, _ = model.parse_losses(model.loss(images, None))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if gpu:
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - started) / STEPS
    if gpu:
        memory = torch.cuda.max_memory_allocated()
    else:
        memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Trial(batch_size, seconds, memory, parameters)
