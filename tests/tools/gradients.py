"""Run by test_distributed.py in two processes: their gradients equal those of the whole batch."""

import sys

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from wamim_mm.ops.masking import random_mask


def losses_of(model, images, mask):
    samples = [DataSample() for _ in mask]
    for sample, one in zip(samples, mask, strict=True):
        sample.set_field(one, 'mask')
    return sum(model(images, samples, mode='loss').values())


def main() -> None:
    dist.init_process_group('gloo')
    rank, size = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(sys.argv[1]).model)
    model.init_weights()
    images = torch.randn(4 * size, 3, *model.backbone.img_size)
    mask = random_mask(4 * size, model.backbone.mask_grid(*model.backbone.img_size), 0.75)

    mine = slice(4 * rank, 4 * rank + 4)
    parallel = MMDistributedDataParallel(model, broadcast_buffers=False)
    losses_of(parallel, images[mine], mask[mine]).backward()
    together = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}

    model.zero_grad()
    losses_of(model, images, mask).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(
                together[name], parameter.grad, atol=1e-6, rtol=1e-4, msg=lambda m, n=name: n + m
            )
    assert any(grad.abs().max() > 1e-3 for grad in together.values())
    print(f'rank {rank}: {len(together)} gradients agree')
    dist.destroy_process_group()


if __name__ == '__main__':
    import wamim_mm  # noqa: F401

    main()
