"""Steps in bf16 and fp16, on random and on constant images: every loss and weight is finite.

    python -m tests.faults.numbers [--steps 1000] [--device cuda] [--out FILE]

The demo's models, with their optimizers. Constant images have targets without variance. fp16 on a
CPU is torch's autocast with a gradient scaler, which MMEngine has for GPUs only.
"""

import argparse
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpretrain.datasets import PackInputs
from mmpretrain.registry import MODELS

import wamim_mm  # noqa: F401  (before mm packages: it makes up for what mmcv lacks)
from benchmarks.measure import environment, write
from wamim_mm import RandomDraw
from wamim_mm.hooks.masking import masked_collate

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIGS = ('wamim_vit', 'wamim_swin', 'mfm_r18')
DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}
IMAGES = ('random', 'constant')


def batch(kind: str, step: int, size: int, collate) -> dict:
    """Two images: of random values, or each of one value."""
    generator = torch.Generator().manual_seed(step)
    shape = (2, 3, size, size) if kind == 'random' else (2, 3, 1, 1)
    images = torch.randint(256, shape, generator=generator).expand(2, 3, size, size)
    if kind == 'constant' and step % 3 == 0:
        images = torch.full_like(images, 255 * (step % 2))
    samples = [
        RandomDraw().transform(dict(img=image.permute(1, 2, 0).numpy().astype('uint8')))
        for image in images
    ]
    pack = PackInputs(algorithm_keys=['draw'])
    return collate([pack.transform(sample) for sample in samples])


def run(name: str, dtype: str, kind: str, steps: int, device: str = 'cpu') -> dict:
    """Train so many steps.

    Returns:
        How many steps there were, and how many the gradient scaler skipped.

    Raises:
        FloatingPointError: A loss or a weight is not finite.
    """
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    cfg = Config.fromfile(ROOT / f'configs/demo/{name}.py', import_custom_modules=False)
    model = MODELS.build(cfg.model).to(device)
    model.init_weights()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    scaler = torch.amp.GradScaler(device, enabled=dtype == 'fp16')
    collate = masked_collate(model) if name.startswith('wamim') else default_collate
    skipped = 0
    for step in range(steps):
        with torch.autocast(device, DTYPES[dtype]):
            data = model.data_preprocessor(batch(kind, step, 128, collate), True)
            losses = model(**data, mode='loss')
            loss, _ = model.parse_losses(losses)
        if not loss.isfinite():
            raise FloatingPointError(f'{name}, {dtype}, {kind}: the loss of step {step} is {loss}')
        optimizer.zero_grad()
        before = scaler.get_scale()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        skipped += scaler.get_scale() < before
    for key, weight in model.state_dict().items():
        if not weight.isfinite().all():
            raise FloatingPointError(f'{name}, {dtype}, {kind}: {key} is not finite')
    return dict(config=name, dtype=dtype, images=kind, steps=steps, skipped=skipped)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=int, default=1000)
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    MMLogger.get_current_instance().setLevel('ERROR')  # not a paragraph for each parameter
    runs, failed = [], []
    for name in CONFIGS:
        for dtype in DTYPES:
            for kind in IMAGES:
                try:
                    runs.append(run(name, dtype, kind, args.steps, args.device))
                    print(*runs[-1].values(), flush=True)
                except FloatingPointError as error:
                    failed.append(str(error))
                    print(error, flush=True)
    if args.out:
        write(
            dict(environment=environment('tests.faults.numbers'), runs=runs, failed=failed),
            args.out,
        )
    sys.exit(bool(failed))


if __name__ == '__main__':
    main()
