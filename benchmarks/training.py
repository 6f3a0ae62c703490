"""The full training step of a pre-training method, and its parts.

Every method runs from a config of full size, ours or mmpretrain's, with the optimizer that its
config names, through the same ``train_step`` as in training: from a batch on the device
(random images, as the data loader gives them) to the optimizer's step and the scalars that are
logged. Masks that a method's data loader makes (WaMIM, SimMIM, MaskFeat) are in the batch already;
the others draw theirs in the step.
"""

import ctypes
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from unittest import mock

import torch
from torch import nn
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

import wamim_mm  # noqa: F401  (before mm packages: it makes up for what mmcv lacks)

# isort: split
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.hub import get_config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmpretrain.datasets import BEiTMaskGenerator, PackInputs, SimMIMMaskGenerator
from mmpretrain.registry import MODELS

from wamim_mm import RandomDraw, WaMIM
from wamim_mm.class_names import builds
from wamim_mm.hooks.compile import compile_model
from wamim_mm.hooks.masking import masked_collate

SIMMIM = 'mmpretrain::simmim/simmim_swin-base-w6_8xb256-amp-coslr-100e_in1k-192px.py'
CONFIGS = {
    'wamim': {'vit-b': 'wamim_vit-b.py', 'swin-b': 'wamim_swin-b.py'},
    'mfm': {'vit-b': 'mfm_vit-b.py', 'swin-b': 'mfm_swin-b.py'},
    'mae': {'vit-b': 'mmpretrain::mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py'},
    'simmim': {'swin-b': SIMMIM},
    'simmim-w6': {'swin-b': SIMMIM},
    'maskfeat': {
        'vit-b': 'mmpretrain::maskfeat/maskfeat_vit-base-p16_8xb256-amp-coslr-300e_in1k.py'
    },
    'mixmim': {'swin-b': 'mmpretrain::mixmim/mixmim_mixmim-base_16xb128-coslr-300e_in1k.py'},
}
# mmpretrain's SimMIM is for 192 pixels and drops paths, which no other of these configs does.
SIMMIM_AT_224 = {
    'model.backbone.img_size': 224,
    'model.backbone.drop_path_rate': 0.0,
    'train_dataloader.dataset.pipeline.3.input_size': 224,
}
CHANGES = {
    'simmim': {**SIMMIM_AT_224, 'model.backbone.stage_cfgs.block_cfgs.window_size': 7},
    'simmim-w6': SIMMIM_AT_224,
}
# What is timed, and the part of the step that it is. Where one runs inside another, each counts its
# own time only. Models have those that their method needs.
TIMED = {
    'data_preprocessor.forward': 'data',
    'masking': 'masking',
    'degrade': 'masking',
    'backbone.random_masking': 'masking',
    'backbone.forward': 'encoder',
    'backbone.encode_visible': 'encoder',
    'neck.forward': 'decoder',
    'head.forward': 'decoder',
    'head.loss': 'loss',
    'head.construct_target': 'targets',
    'target_generator.forward': 'targets',
}
PARTS = [
    *('data', 'masking', 'encoder', 'decoder', 'targets', 'loss', 'backward', 'optimizer'),
    'other',
]
# Attention's fused operators on the CPU are not among those that torch counts. Shapes come in.
ATEN = torch.ops.aten
CPU_ATTENTION = {
    ATEN._scaled_dot_product_flash_attention_for_cpu: (
        lambda query, key, value, *args, **kwargs: sdpa_flop_count(query, key, value)
    ),
    ATEN._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda grad, query, key, value, *args, **kwargs: sdpa_backward_flop_count(
            grad, query, key, value
        )
    ),
}


def load_config(method: str, backbone: str) -> Config | None:
    """The config of a method; None where there is none for this backbone."""
    name = CONFIGS[method].get(backbone)
    if name is None:
        return None
    cfg = get_config(name) if '::' in name else load_pretraining(name)
    cfg.merge_from_dict(CHANGES.get(method, {}))
    return cfg


def load_pretraining(name: str) -> Config:
    """One of our own pre-training configs by its file's name."""
    return Config.fromfile(Path(__file__).parent.parent / 'configs' / 'pretrain' / name)


# Steps timed in a round.
STEPS = {'cpu': 1, 'cuda': 20}


@dataclass(frozen=True)
class Settings:
    """How to train.

    Args:
        batch: Images of each process.
        device: ``'cpu'`` or ``'cuda'``.
        dtype: ``'fp32'``, or with autocast ``'bf16'`` or ``'fp16'``.
        steps: Steps whose mean is taken.
        compile: Whether encoder and decoder go through ``torch.compile``.
        processes: Data-parallel processes.
        img_size: Side of the images; what the config is for.

    Raises:
        ValueError: The device cannot do it.
    """

    batch: int
    device: str
    dtype: str = 'fp32'
    steps: int = 1
    compile: bool = False
    processes: int = 1
    img_size: int = 224

    def __post_init__(self) -> None:
        if self.dtype != 'fp32' and self.device == 'cpu':
            raise ValueError(f'{self.dtype} needs a GPU: MMEngine has no autocast for CPUs')
        if self.device == 'cuda' and self.processes > torch.cuda.device_count():
            raise ValueError(
                f'{self.processes} processes need as many GPUs, found {torch.cuda.device_count()}'
            )


class PartTimer:
    """Seconds of each part of a step, without those of the parts inside it."""

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self.synchronize = synchronize
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.running = ['other']

    def run(self, function: Callable[[], object]) -> None:
        """Run what has all the parts in it; `timed` ones add to their part, the rest to other."""
        self.synchronize()
        self.since = time.perf_counter()
        function()
        self._switch()

    def timed(self, part: str, function: Callable) -> Callable:
        """The function with a watch on it."""

        def run(*args, **kwargs):
            self._switch()
            self.running.append(part)
            try:
                return function(*args, **kwargs)
            finally:
                self._switch()
                self.running.pop()

        return run

    def _switch(self) -> None:
        """What passed since the last switch belongs to the part that was running."""
        self.synchronize()
        now = time.perf_counter()
        self.seconds[self.running[-1]] += now - self.since
        self.since = now


class Training:
    """A model, its optimizer and one batch on the device.

    Args:
        cfg: A pre-training config.
        settings: How to train it.
        rank: Which of the processes this is.
    """

    def __init__(self, cfg: Config, settings: Settings, rank: int = 0) -> None:
        self.settings = settings
        self.on_gpu = settings.device == 'cuda'
        self.device = torch.device(settings.device, rank) if self.on_gpu else torch.device('cpu')
        self.memory_before = resident('VmRSS')
        torch.manual_seed(rank)
        torch.backends.cudnn.benchmark = True
        self.inner = MODELS.build(dict(cfg.model, data_preprocessor=preprocessor(cfg)))
        self.inner.init_weights()
        self.inner.to(self.device).train()
        self.model = (
            self.inner if settings.processes == 1 else distributed(self.inner, cfg, self.device)
        )
        self.optim = build_optim_wrapper(self.model, optimizer(cfg, settings.dtype))
        self.batch = self.inner.data_preprocessor.cast_data(
            random_batch(cfg, self.inner, settings.batch, settings.img_size)
        )

    def prepare(self) -> dict:
        """Warm up; count the operations and time the parts of a step.

        Returns:
            ``flops_per_image``: of forward and backward, matrix products, convolutions and
            attention, two for a multiplication with its addition. The scores that fused attention
            computes again in the backward pass count; element-wise operations, FFTs, wavelets and
            the optimizer do not. ``parts``: seconds of each. ``parameters``: how many are trained.
        """
        with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
            self.step(self.batch)
        if self.settings.compile and hasattr(self.inner, 'compile_targets'):
            compile_model(self.inner)
        elif self.settings.compile:
            for module in (self.inner.backbone, self.inner.neck):
                if module is not None:
                    module.forward = torch.compile(module.forward)
        if self.settings.compile or self.on_gpu:
            self.run(3)
        flops = counter.get_total_flops() / self.settings.batch
        trained = sum(p.numel() for p in self.inner.parameters() if p.requires_grad)
        return dict(flops_per_image=flops, parts=self.parts(), parameters=trained)

    def step(self, batch: dict) -> None:
        """One training step, as MMEngine's training loop does it."""
        logged = self.model.train_step(batch, optim_wrapper=self.optim)
        # RuntimeInfoHook reads every one, and so waits for the step's end.
        self.loss = {name: float(value.detach()) for name, value in logged.items()}['loss']

    def run(self, steps: int) -> float:
        """Seconds of a step, the mean of several."""
        self.synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            self.step(self.batch)
        self.synchronize()
        return (time.perf_counter() - start) / steps

    def round(self) -> float:
        """One round; memory goes back to the system afterwards, for the others."""
        self.run(1)  # takes the memory again; on a GPU, the clock rate
        seconds = self.run(self.settings.steps)
        if not math.isfinite(self.loss):
            raise FloatingPointError(f'the loss is {self.loss}')
        self.release()
        return seconds

    def parts(self) -> dict[str, float]:
        """Seconds of each part of a step, the mean of several."""
        timer = PartTimer(self.synchronize)
        with ExitStack() as stack:

            def time_calls(owner: object, name: str, part: str) -> None:
                replaced = timer.timed(part, getattr(owner, name))
                stack.enter_context(mock.patch.object(owner, name, replaced))

            for path, part in TIMED.items():
                *owner, name = path.split('.')
                found = attrgetter(*owner)(self.inner) if owner else self.inner
                inside = self.settings.compile and path == 'backbone.random_masking'
                if getattr(found, name, None) is not None and not inside:
                    time_calls(found, name, part)
            time_calls(self.optim, 'backward', 'backward')
            time_calls(self.optim, 'step', 'optimizer')
            time_calls(self.optim, 'zero_grad', 'optimizer')
            timer.run(partial(self.run, self.settings.steps))
        return {part: seconds / self.settings.steps for part, seconds in timer.seconds.items()}

    def synchronize(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def release(self) -> None:
        if self.on_gpu:
            torch.cuda.empty_cache()
        ctypes.CDLL(None).malloc_trim(0)

    def reset_peak(self) -> None:
        """Forget the peak so far: counting operations and timing parts take memory too."""
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        self.release()
        Path('/proc/self/clear_refs').write_text('5')

    def peak(self) -> int:
        """Bytes at the peak: what torch allocated on a GPU, else what the process grew by."""
        if self.on_gpu:
            return torch.cuda.max_memory_allocated()
        return resident('VmHWM') - self.memory_before


def preprocessor(cfg: Config) -> dict:
    """mmpretrain's configs have it beside the model, ours in it."""
    return cfg.model.get('data_preprocessor') or cfg.data_preprocessor


def optimizer(cfg: Config, dtype: str) -> dict:
    """The optimizer of a config, in the precision asked for.

    There is no schedule here: a small learning rate keeps losses finite, at the same cost.
    """
    wrapper = {key: value for key, value in cfg.optim_wrapper.items() if key != 'loss_scale'}
    wrapper['optimizer'] = dict(wrapper['optimizer'], lr=1e-5)
    if dtype == 'fp32':
        return dict(wrapper, type='OptimWrapper')
    if dtype == 'bf16':
        # bfloat16 has the range of float32, as --amp says it.
        no_scale = dict(enabled=False)
        return dict(wrapper, type='AmpOptimWrapper', dtype='bfloat16', loss_scale=no_scale)
    return dict(wrapper, type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')


def default_dtype(device: str) -> str:
    """What ``--amp`` trains in on this device; on a CPU, single precision."""
    if device == 'cpu':
        return 'fp32'
    return 'bf16' if torch.cuda.is_bf16_supported(including_emulation=False) else 'fp16'


def distributed(model: nn.Module, cfg: Config, device: torch.device) -> nn.Module:
    return MMDistributedDataParallel(
        model,
        device_ids=None if device.type == 'cpu' else [device.index],
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )


def random_batch(cfg: Config, model: nn.Module, batch: int, img_size: int) -> dict:
    """Random images with what else the config's pipeline and the loader add."""
    pipeline = cfg.train_dataloader.dataset.pipeline
    added = SimMIMMaskGenerator | BEiTMaskGenerator | RandomDraw | PackInputs
    pack = Compose([step for step in pipeline if builds(step, added, 'TRANSFORMS')])
    images = torch.randint(256, (batch, img_size, img_size, 3), dtype=torch.uint8).numpy()
    collate = masked_collate(model) if isinstance(model, WaMIM) else default_collate
    return collate([pack(dict(img=image, img_shape=image.shape[:2])) for image in images])


def resident(field: str) -> int:
    """``VmRSS``, the resident memory of this process, or ``VmHWM``, its peak, in bytes."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f'/proc/self/status has no {field}')
