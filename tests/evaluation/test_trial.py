"""What a step costs, before a run is planned."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from wamim_mm.evaluation import trial

ROOT = Path(__file__).parent.parent.parent
SMALL = dict(embed_dims=16, num_layers=4, num_heads=1, feedforward_channels=16)


def test_steps_of_a_small_encoder():
    cfg = Config.fromfile(ROOT / 'configs/demo/wamim_vit.py')
    cfg.model.backbone.update(arch=SMALL, out_indices=[0, 1, 2, 3])
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    found = trial.try_steps(cfg, cfg.model.backbone.img_size, 2)
    assert torch.equal(torch.rand(1), expected)  # the run's draws are its own
    assert found.batch_size == 2 and found.seconds > 0 and found.memory > 1e8
    # The projection of patches alone has 16 x 3 x 8 x 8 weights.
    assert 4000 < found.parameters < 2_000_000


@pytest.mark.parametrize(('fits', 'tried'), [(64, [64]), (20, [64, 32, 16]), (1, None)])
def test_half_the_batch_while_memory_is_short(monkeypatch, fits, tried):
    sizes = []

    def steps(cfg, size, batch_size, device):
        sizes.append(batch_size)
        if batch_size > fits:
            raise torch.cuda.OutOfMemoryError
        return trial.Trial(batch_size, 0.1, 1, 1)

    monkeypatch.setattr(trial, '_steps', steps)
    assert trial.try_steps(Config(), 64, 64).batch_size == sizes[-1] <= fits
    assert sizes == (tried or [64, 32, 16, 8, 4, 2, 1])


def test_not_even_one_image_fits(monkeypatch):
    def steps(*_):
        raise torch.cuda.OutOfMemoryError('too much')

    monkeypatch.setattr(trial, '_steps', steps)
    with pytest.raises(torch.cuda.OutOfMemoryError, match='too much'):
        trial.try_steps(Config(), 64, 8)
