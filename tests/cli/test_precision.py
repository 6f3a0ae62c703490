"""--amp: what it makes of a config on each kind of device."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from wamim_mm.cli import precision


@pytest.fixture
def on(monkeypatch):
    """Pretend a device; what torch's autocast would use by default is put back afterwards."""
    defaults = {device: torch.get_autocast_dtype(device) for device in ('cpu', 'cuda')}

    def pretend(device, has_bf16=False):
        monkeypatch.setattr(precision, 'get_device', lambda: device)
        # Every GPU emulates it.
        monkeypatch.setattr(
            torch.cuda,
            'is_bf16_supported',
            lambda including_emulation=True: including_emulation or has_bf16,
        )

    yield pretend
    for device, dtype in defaults.items():
        torch.set_autocast_dtype(device, dtype)


def config(**wrapper):
    return Config(dict(optim_wrapper=dict(type='OptimWrapper', **wrapper), test_cfg=dict()))


@pytest.mark.parametrize(
    ('amp', 'has_bf16', 'dtype', 'scale'),
    [
        ('auto', True, 'bfloat16', dict(enabled=False)),
        ('auto', False, 'float16', 'dynamic'),
        ('fp16', True, 'float16', 'dynamic'),
        ('bf16', True, 'bfloat16', dict(enabled=False)),
    ],
)
def test_gpu(on, amp, has_bf16, dtype, scale):
    on('cuda', has_bf16)
    cfg = config()
    precision.use_amp(cfg, amp)
    wrapper = dict(type='AmpOptimWrapper', dtype=dtype, loss_scale=scale)
    assert cfg.optim_wrapper.to_dict() == wrapper and cfg.test_cfg.fp16
    # What the loops of MMEngine take for fp16=True.
    assert torch.get_autocast_dtype('cuda') == getattr(torch, dtype)


def test_a_scale_of_the_config_stays(on):
    on('cuda')
    cfg = config(loss_scale=512.0)
    precision.use_amp(cfg, 'fp16')
    assert cfg.optim_wrapper.loss_scale == 512.0


def test_cpu(on):
    on('cpu')
    # As mmpretrain's MAE has it, for a GPU.
    cfg = config(optimizer=dict(type='SGD', lr=0.1), loss_scale='dynamic', dtype='float16')
    precision.use_amp(cfg, 'auto')
    model = torch.nn.Linear(2, 2)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    with wrapper.optim_context(model):
        out = model(torch.ones(1, 2))
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().sum())
    assert model.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ('device', 'amp', 'message'),
    [
        ('cpu', 'fp16', 'float16 on GPUs only; use --amp bf16'),
        ('cuda', 'bf16', 'this cuda device has no bfloat16; use --amp fp16'),
    ],
)
def test_what_the_device_lacks(on, device, amp, message):
    on(device)
    with pytest.raises(ValueError, match=message):
        precision.use_amp(config(), amp)
