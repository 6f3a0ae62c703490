"""Automatic mixed precision on the device of the machine."""

import torch
from mmengine.config import Config
from mmengine.device import get_device

DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}


def use_amp(cfg: Config, amp: str) -> None:
    """Train and test in mixed precision.

    MMEngine's loops of validation and testing have only ``fp16=True``, which means torch's default
    type for the device; so this default is set for testing. Validation during training stays in
    float32, as in MMEngine's own commands.

    Args:
        cfg: The config, which is changed.
        amp: ``'bf16'``, ``'fp16'``, or ``'auto'`` for bf16 where the device has it and else fp16.

    Raises:
        ValueError: The device lacks it.
    """
    device = get_device()
    # Older GPUs emulate it, more slowly than float32, and not in every convolution.
    has_bf16 = device == 'cpu' or (
        device == 'cuda' and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    if amp == 'auto':
        amp = 'bf16' if has_bf16 else 'fp16'
    if amp == 'bf16' and not has_bf16:
        raise ValueError(f'--amp bf16: this {device} device has no bfloat16; use --amp fp16')
    if amp == 'fp16' and device == 'cpu':
        raise ValueError('--amp fp16: MMEngine has float16 on GPUs only; use --amp bf16')

    if cfg.get('optim_wrapper') is not None:
        if device == 'cpu':
            cfg.optim_wrapper.type = 'CPUAmpOptimWrapper'
            for key in ('dtype', 'loss_scale'):  # of a config in mixed precision already
                cfg.optim_wrapper.pop(key, None)
        else:
            cfg.optim_wrapper.type = 'AmpOptimWrapper'
            cfg.optim_wrapper.dtype = str(DTYPES[amp]).removeprefix('torch.')
            # bfloat16 has the range of float32: gradients do not underflow, so no scale is needed.
            if amp == 'bf16':
                cfg.optim_wrapper.loss_scale = dict(enabled=False)
            else:
                cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if cfg.get('test_cfg') is not None:
        cfg.test_cfg.fp16 = True
        torch.set_autocast_dtype(device, DTYPES[amp])
