"""A step of every method on a GPU that is not there, in the precision that `--budget gpu` has."""

import pytest
import torch

from benchmarks.study import plan, pretraining
from benchmarks.study.data import augment, generator

from ...models.test_fake_cuda import assert_on_gpu, mode, to_gpu  # noqa: F401
from .test_study import CONFIGS, scope  # noqa: F401


@pytest.mark.parametrize('config', CONFIGS)
def test_step(config, mode):  # noqa: F811
    cfg = plan.load(config)
    model = pretraining.build(cfg, 0, torch.device('cpu'))
    masks = pretraining.StepMasks(cfg, model, 4, 0)[0]
    to_gpu(model, mode)
    with mode, torch.autocast('cuda', torch.bfloat16):
        images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8, device='cuda')
        inputs = pretraining.normalized(model, augment(images, generator(0)))
        assert inputs.device.type == 'cuda' and inputs.dtype == torch.float32
        masks = None if masks is None else model.data_preprocessor.cast_data(masks)
        assert_on_gpu(pretraining.losses_of(model, inputs, masks))
