"""DeepSpeed's engine on two processes takes the steps that DDP takes; where it is installed."""

import pytest
import torch

from .test_fsdp2 import command, losses, saved, scenes  # noqa: F401
from .two_ranks import train

pytest.importorskip('deepspeed')

STRATEGY = 'strategy.type=DeepSpeedStrategy'
SHORT = ('optim_wrapper.optimizer.eps=1e-4', 'env_cfg.dist_cfg.backend=gloo')


def weights(folder, work_dir):
    """What DeepSpeed's own script makes of a checkpoint's folder."""
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    return get_fp32_state_dict_from_zero_checkpoint(str(work_dir), tag=folder)


@pytest.mark.parametrize('model', ['vit', 'swin'])
@pytest.mark.parametrize(
    'options',
    [
        (),
        ('optim_wrapper.clip_grad.max_norm=0.5',),
        ('optim_wrapper.accumulative_counts=2',),
        ('strategy.zero_optimization.stage=2',),
    ],
    ids=['plain', 'clip', 'accumulation', 'stage 2'],
)
def test_it_equals_ddp_and_goes_on(command, tmp_path, monkeypatch, model, options):  # noqa: F811
    monkeypatch.setenv('DS_ACCELERATOR', 'cpu')
    of_ddp = [option for option in options if 'strategy' not in option]
    done = train(
        tmp_path,
        command('ddp', *SHORT, *of_ddp, model=model),
        command('deep', *SHORT, STRATEGY, *options, model=model),
        command(
            *('again', *SHORT, STRATEGY, *options),
            model=model,
            more=['--resume', tmp_path / 'deep/epoch_1.pth'],
        ),
    )
    assert done == [[0] * 3] * 2, (tmp_path / 'rank0.txt').read_text()[-3000:]
    for ours, theirs in zip(losses(tmp_path / 'deep'), losses(tmp_path / 'ddp'), strict=True):
        for name in ('loss', 'loss_level3', 'lr'):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-5), name
    expected = saved(tmp_path / 'ddp')['state_dict']
    for name in ('deep', 'again'):
        found = weights('epoch_2.pth', tmp_path / name)
        for key, tensor in found.items():
            torch.testing.assert_close(tensor, expected[key], rtol=0, atol=1e-5)


def test_mixed_precision(command, tmp_path, monkeypatch):  # noqa: F811
    """Gradients of matrices are added up in bfloat16 here, and in float32 by DDP."""
    monkeypatch.setenv('DS_ACCELERATOR', 'cpu')
    amp = ['--amp', 'bf16']
    done = train(
        tmp_path,
        command('ddp', *SHORT, more=amp),
        command('deep', *SHORT, STRATEGY, more=amp),
    )
    assert done == [[0] * 2] * 2, (tmp_path / 'rank0.txt').read_text()[-3000:]
    for ours, theirs in zip(losses(tmp_path / 'deep'), losses(tmp_path / 'ddp'), strict=True):
        assert ours['loss'] == pytest.approx(theirs['loss'], rel=2e-3)
