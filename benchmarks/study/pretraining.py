"""One pre-training run of the study: from a config and a seed to an encoder."""

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmpretrain.datasets import BEiTMaskGenerator, SimMIMMaskGenerator
from mmpretrain.models import BaseSelfSupervisor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wamim_mm import WaMIM
from wamim_mm.class_names import builds
from wamim_mm.interop.whole_files import write_whole
from wamim_mm.ops.masking import Masking, random_mask

from .data import augment, generator, order

WARMUP = 0.1  # share of the steps
SAVE_EVERY = 60  # seconds
CURVE_POINTS = 50


def learning_rate(step: int, steps: int) -> float:
    """Factor of the learning rate: a line up, then a cosine that ends at zero."""
    warmup = max(1, round(WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


class StepMasks(Dataset):
    """What a method's data loader adds to the images of a step, from (seed, step) alone.

    WaMIM's is its masks and their layout; mmpretrain's methods have mask generators in their
    pipelines, or none. A sample is a step.
    """

    def __init__(self, cfg: Config, model: BaseSelfSupervisor, batch: int, seed: int) -> None:
        steps = cfg.train_dataloader.dataset.pipeline
        kinds = SimMIMMaskGenerator | BEiTMaskGenerator
        self.pipeline = Compose([step for step in steps if builds(step, kinds, 'TRANSFORMS')])
        self.wamim = None
        if isinstance(model, WaMIM):
            grid = model.backbone.mask_grid(*model.img_size)
            self.wamim = (grid, model.mask_ratio, model.backbone.geometry)
        self.batch = batch
        self.seed = seed
        # Two ablations: a mask for the whole batch, and units of several patches.
        self.per_batch = cfg.get('masks', {}).get('per') == 'batch'
        self.block = cfg.get('masks', {}).get('block', 1)

    def __getitem__(self, step: int) -> Masking | Tensor | None:
        if self.wamim:
            grid, ratio, geometry = self.wamim
            draws = generator(self.seed, step, 2)
            coarse = (grid[0] // self.block, grid[1] // self.block)
            mask = random_mask(1 if self.per_batch else self.batch, coarse, ratio, draws)
            mask = mask.repeat_interleave(self.block, 1).repeat_interleave(self.block, 2)
            mask = mask.expand(self.batch, -1, -1).contiguous()
            return Masking(mask, geometry(mask))
        if not self.pipeline.transforms:
            return None
        np.random.seed((self.seed * 1_000_003 + step) % 2**32)  # noqa: NPY002 (mmpretrain's)
        masks = [self.pipeline({})['mask'] for _ in range(self.batch)]
        return torch.from_numpy(np.stack(masks))


def build(cfg: Config, seed: int, device: torch.device) -> BaseSelfSupervisor:
    """The config's model, initialized from a seed."""
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model.to(device).train()


def normalized(model: BaseSelfSupervisor, images: Tensor) -> Tensor:
    """Images in [0, 1] as the model's preprocessor hands them on."""
    preprocessor = model.data_preprocessor
    return (images * 255 - preprocessor.mean) / preprocessor.std


def losses_of(model: BaseSelfSupervisor, inputs: Tensor, masks: Masking | Tensor | None) -> dict:
    """A method's losses, each a scalar tensor."""
    if isinstance(masks, Masking):
        return model.loss(inputs, masking=masks)
    if masks is None:
        return model.loss(inputs, None)
    samples = [DataSample() for _ in masks]
    for sample, mask in zip(samples, masks, strict=True):
        sample.mask = mask
    return model.loss(inputs, samples)


def pretrain(
    cfg: Config,
    images: Tensor,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    folder: Path,
    workers: int = 0,
    say: Callable[[str], None] = print,
) -> dict:
    """Train, from where an earlier call in the same folder was cut.

    Args:
        cfg: A config of configs/study or configs/ablation/cifar10.
        images: ``(N, 3, H, W)`` uint8, on the device to train on.
        steps: Steps to take; the schedule is laid over them.
        batch: Images of a step. What does not fill a batch at the end of an epoch is left out.
        lr: Learning rate at the end of the warm-up.
        seed: Of the weights, the order, the crops and the masks.
        folder: Where the state is kept until the end.
        workers: Processes that make the masks.
        say: Told how far the run is.

    Returns:
        ``model``: the state dict; ``backbone``: the encoder's. ``curve``: ``[images seen, {loss:
        mean since the entry before}]``, about 50 entries. ``seconds``: how long the steps took.

    Raises:
        FloatingPointError: A loss is not finite.
    """
    device = images.device
    model = build(cfg, seed, device)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    saved, step, curve, seconds = folder / 'state.pt', 0, [], 0.0
    if saved.is_file():
        state = torch.load(saved, map_location=device, weights_only=True)
        model.load_state_dict(state['model'])
        wrapper.load_state_dict(state['optimizer'])
        step, curve, seconds = state['step'], state['curve'], state['seconds']
        say(f'goes on at step {step} of {steps}')

    masks = StepMasks(cfg, model, batch, seed)
    loader = DataLoader(masks, batch_size=None, sampler=range(step, steps), num_workers=workers)
    per_epoch, every = len(images) // batch, max(1, steps // CURVE_POINTS)
    collected: list[dict[str, Tensor]] = []
    shuffled = order(len(images), seed, step // per_epoch).to(device)
    started = last_save = time.monotonic()
    for made in loader:
        epoch, place = divmod(step, per_epoch)
        if place == 0:
            shuffled = order(len(images), seed, epoch).to(device)
        # What a model draws itself follows from the step too, so that a cut run goes on exactly.
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator(seed, step, 3))))
        chosen = images[shuffled[place * batch : (place + 1) * batch]]
        inputs = normalized(model, augment(chosen, generator(seed, step, 4)))
        made = None if made is None else model.data_preprocessor.cast_data(made)
        for group in wrapper.optimizer.param_groups:
            group['lr'] = lr * learning_rate(step, steps)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == 'cuda'):
            losses = losses_of(model, inputs, made)
        wrapper.update_params(sum(losses.values()))
        collected.append({name: loss.detach() for name, loss in losses.items()})
        step += 1

        if step % every == 0 or step == steps:
            means = {
                name: float(torch.stack([entry[name] for entry in collected]).mean())
                for name in collected[0]
            }
            if not all(map(math.isfinite, means.values())):
                raise FloatingPointError(f'losses {means} after {step} steps')
            curve.append([step * batch, means])
            collected = []
            say(f'step {step} of {steps}: {means}')
            now = time.monotonic()
            if now - last_save > SAVE_EVERY and step < steps:
                last_save = now
                save(saved, model, wrapper, step, curve, seconds + now - started)
    seconds += time.monotonic() - started
    whole, backbone = (
        {name: tensor.cpu() for name, tensor in part.state_dict().items()}
        for part in (model, model.backbone)
    )
    return dict(model=whole, backbone=backbone, curve=curve, seconds=seconds)


def save(path: Path, model, wrapper, step: int, curve: list, seconds: float) -> None:
    """Keep a run's state; a file is whole or the one before."""
    state = dict(
        model=model.state_dict(),
        optimizer=wrapper.state_dict(),
        step=step,
        curve=curve,
        seconds=seconds,
    )
    write_whole(path, partial(torch.save, state))
