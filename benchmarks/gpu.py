"""What was never measured, in ten minutes on one GPU.

    make bench-gpu        (python -m benchmarks.gpu [--minutes 10])

In the order of what matters most, until the time is over; what is left then is listed:

- the tests marked `gpu`;
- a training step of every encoder of WaMIM in bfloat16 (fp16 where the GPU has none), at 256 images
  and at the largest power of two that fits: images/s, peak memory, and model FLOP/s as a share of
  the GPU's peak, see benchmarks/training.py;
- whether such a step waits for the GPU anywhere (torch.cuda.set_sync_debug_mode);
- the same steps with torch.compile, Swin's with FlexAttention, and those of mmpretrain's MAE and
  SimMIM;
- the share of a step that is spent waiting for the data loader, over drawn JPEG files.

Prints the tables of docs/benchmarks.md. Without a GPU, forward and loss of every encoder run on a
pretended one (benchmarks/fake_gpu.py), and there is nothing to time.
"""

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

import wamim_mm  # noqa: F401  (before mm packages: it makes up for what mmcv lacks)

# isort: split
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from benchmarks.data import draw_images, loader, waiting
from benchmarks.fake_gpu import pretended_gpu, to_gpu
from benchmarks.measure import OUT, environment, peak_flops, write
from benchmarks.training import (
    Settings,
    Training,
    default_dtype,
    load_config,
    load_pretraining,
    preprocessor,
    random_batch,
)

ENCODERS = ('vit-b', 'swin-b', 'vit-l', 'swin-l', 'vit-s', 'swin-t')
#: What the shares of the peak are to be.
GOALS = {'vit-b': 0.40, 'swin-b': 0.25}
PEERS = {'vit-b': 'mae', 'swin-b': 'simmim'}
BATCH = 256
LARGEST = 4096
STEPS, ROUNDS = 10, 3
#: Images that are drawn for the data loader.
DRAWN = 2048


class Measured:
    """A method on the GPU, at one batch after another.

    Args:
        cfg: A pre-training config.
        dtype: See `Settings`.
        compiled: Whether it goes through torch.compile.
        flex: Whether Swin's window groups go through FlexAttention.
    """

    def __init__(self, cfg: Config, dtype: str, compiled: bool = False, flex: bool = False) -> None:
        self.cfg = cfg
        self.settings = Settings(8, 'cuda', dtype, STEPS, compiled)
        self.training = Training(cfg, self.settings)
        self.facts = self.training.prepare()
        if flex:  # from here on, since its operations are not counted
            self.training.inner.backbone.flex_attention = True

    def at(self, batch: int) -> dict | None:
        """A step's rate, memory and share of the peak; None where memory is not enough."""
        training = self.training
        size = self.settings.img_size
        try:
            training.batch = training.inner.data_preprocessor.cast_data(
                random_batch(self.cfg, training.inner, batch, size)
            )
            training.run(3)
            training.reset_peak()
            seconds = statistics.median(training.run(STEPS) for _ in range(ROUNDS))
        except torch.cuda.OutOfMemoryError:
            training.optim.zero_grad()
            training.release()
            return None
        peak = peak_flops(torch.cuda.get_device_name(), self.settings.dtype)
        flops = self.facts['flops_per_image'] * batch / seconds
        return dict(
            batch=batch,
            seconds=seconds,
            images_per_second=batch / seconds,
            peak_bytes=training.peak(),
            utilization=None if peak is None else flops / peak,
        )

    def largest(self, start: dict) -> dict:
        """The same at the largest power of two that fits, found from what a smaller one takes."""
        found, total = start, torch.cuda.get_device_properties(0).total_memory
        while found['batch'] < LARGEST and 2.1 * found['peak_bytes'] < total:
            following = self.at(2 * found['batch'])
            if following is None:
                break
            found = following
        return found

    def waits(self, batch: int) -> list[str]:
        """What in a step waits for the GPU; reading the loss for the log is left out.

        A batch lies in pinned memory, as the data loader gives it.
        """
        model, optim = self.training.model, self.training.optim
        given = random_batch(self.cfg, model, batch, self.settings.img_size)
        given = torch.utils.data._utils.pin_memory.pin_memory(given)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            torch.cuda.set_sync_debug_mode('warn')
            try:
                with optim.optim_context(model):
                    data = model.data_preprocessor(given, True)
                    losses = model(**data, mode='loss')
                optim.update_params(sum(losses.values()))
            finally:
                torch.cuda.set_sync_debug_mode('default')
        # The mode itself warns once that it is a prototype.
        waits = [w for w in caught if 'called a synchronizing' in str(w.message)]
        return sorted({str(w.message).splitlines()[0] for w in waits})

    def close(self) -> None:
        """Give the memory back."""
        del self.training
        gc.collect()
        torch.cuda.empty_cache()


def step(
    cfg: Config, dtype: str, compiled: bool = False, largest: bool = True, flex: bool = False
) -> dict:
    """A method at `BATCH`, or less where that is too much, and at the largest batch that fits."""
    measured = Measured(cfg, dtype, compiled, flex)
    try:
        batch = BATCH
        while (found := measured.at(batch)) is None:
            batch //= 2
        result = dict(measured.facts, steps=[found])
        if largest:
            more = measured.largest(found)
            result['steps'] += [more] if more['batch'] > batch else []
        result['waits'] = measured.waits(min(32, batch))
        return result
    finally:
        measured.close()


def data(dtype: str) -> dict:
    """Waiting for the data loader, at most `BATCH` images a step, with all cores but one."""
    cfg = load_pretraining('wamim_vit-b.py')
    with tempfile.TemporaryDirectory() as folder:
        draw_images(Path(folder), DRAWN)
        training = Training(cfg, Settings(BATCH, 'cuda', dtype))
        workers = max(1, len(os.sched_getaffinity(0)) - 1)
        batches = loader(cfg, Path(folder), BATCH, workers)
        return dict(workers=workers) | waiting(training, batches, 4 * STEPS)


def gpu_tests() -> dict:
    """The tests that need a GPU; whether they pass, and pytest's last line."""
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-m', 'gpu', '-q', '-p', 'no:cacheprovider'],
        capture_output=True,
        text=True,
    )
    failed = [line for line in done.stdout.splitlines() if line.startswith(('FAILED', 'ERROR'))]
    last = done.stdout.strip().splitlines()[-1:] or ['no output']
    return dict(passed=done.returncode == 0, last=last[0], failed=failed)


def parts(dtype: str) -> dict[str, Callable[[], dict]]:
    """What is measured, by name, in order."""
    ours = {name: partial(load_pretraining, f'wamim_{name}.py') for name in ENCODERS}
    found: dict[str, Callable[[], dict]] = {'tests': gpu_tests}
    for name in ENCODERS[:2]:
        found[name] = lambda name=name: step(ours[name](), dtype)
    for name, peer in PEERS.items():
        found[f'{name}, {peer}'] = lambda name=name, peer=peer: step(
            load_config(peer, name), dtype, largest=False
        )
    found['data'] = partial(data, dtype)
    for name in ENCODERS[:2]:
        found[f'{name}, compiled'] = lambda name=name: step(ours[name](), dtype, True, False)
    for compiled in (False, True):
        name = 'swin-b, FlexAttention' + ', compiled' * compiled
        found[name] = lambda compiled=compiled: step(
            ours['swin-b'](), dtype, compiled, largest=False, flex=True
        )
    for name in ENCODERS[2:]:
        found[name] = lambda name=name: step(ours[name](), dtype)
    return found


def run(wanted: dict[str, Callable[[], dict]], seconds: float) -> tuple[dict, list[str]]:
    """Results by name, an error's text among them; and the names for which no time was left."""
    end = time.monotonic() + seconds
    results: dict[str, dict] = {}
    for name, measure in wanted.items():
        if time.monotonic() > end:
            return results, [left for left in wanted if left not in results]
        print(f'{name} ...', flush=True)
        try:
            results[name] = measure()
        except Exception as error:  # the other parts go on
            results[name] = dict(error=f'{type(error).__name__}: {error}'.splitlines()[0])
    return results, []


def pretend() -> dict:
    """Forward and loss of every encoder at `BATCH` images on a GPU that is not there."""
    results = {}
    for name in ENCODERS:
        cfg = load_pretraining(f'wamim_{name}.py')
        model = MODELS.build(dict(cfg.model, data_preprocessor=preprocessor(cfg))).train()
        batch = random_batch(cfg, model, BATCH, 224)
        with pretended_gpu() as mode:
            to_gpu(model, mode)
            counter = FlopCounterMode(display=False)
            with mode, torch.autocast('cuda', torch.bfloat16), counter:
                losses = model(**model.data_preprocessor(batch, True), mode='loss')
        results[name] = dict(
            losses={level: str(loss.device) for level, loss in losses.items()},
            forward_flops_per_image=counter.get_total_flops() / BATCH,
            parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        )
    return results


def table(results: dict[str, dict]) -> str:
    """What was measured, as the table of docs/benchmarks.md."""
    heads = ['step', 'images', 'images/s', 'ms', 'peak memory, GB', 'utilization', 'waits']
    lines = [f'| {" | ".join(heads)} |', f'|{" --- |" * len(heads)}']
    for name, result in results.items():
        for found in result.get('steps', []):
            used = found['utilization']
            cells = [
                name,
                str(found['batch']),
                f'{found["images_per_second"]:,.0f}',
                f'{1000 * found["seconds"]:.1f}',
                f'{found["peak_bytes"] / 1e9:.1f}',
                '-' if used is None else f'{used:.1%}',
                '; '.join(result['waits']) or 'none',
            ]
            lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def remarks(results: dict[str, dict], left: list[str]) -> list[str]:
    """What the table does not hold, goals among it."""
    lines = []
    for name, goal in GOALS.items():
        shares = [s['utilization'] for s in results.get(name, {}).get('steps', [])]
        if shares and None not in shares:
            reached = 'reached' if max(shares) >= goal else 'not reached'
            lines.append(f'{name}: {max(shares):.1%} of the peak, the goal of {goal:.0%} {reached}')
    waited = results.get('data', {})
    if 'share' in waited:
        reached = 'reached' if waited['share'] <= 0.1 else 'not reached'
        lines.append(
            f'waiting for data, {waited["workers"]} workers: {waited["share"]:.1%} of a step; the '
            f'goal, 90 % of the speed without loading, is {reached}'
        )
    tests = results.get('tests', {})
    if 'last' in tests:
        lines += [f'tests on the GPU: {tests["last"]}', *tests['failed']]
    lines += [f'{name} failed: {r["error"]}' for name, r in results.items() if 'error' in r]
    if left:
        lines.append(f'no time was left for: {", ".join(left)}')
    return lines


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.gpu', description=__doc__.splitlines()[0]
    )
    parser.add_argument('--minutes', type=float, default=10, help='(%(default)s)')
    parser.add_argument('--out', type=Path, default=OUT / 'gpu.json')
    args = parser.parse_args(argv)
    init_default_scope('mmpretrain')
    MMLogger.get_current_instance().setLevel('ERROR')
    record = environment('benchmarks.gpu')
    if not torch.cuda.is_available():
        results = pretend()
        for name, found in results.items():
            flops = found['forward_flops_per_image'] / 1e9
            print(f'{name}: forward and loss run, {flops:.1f} GFLOP an image forward')
        print('no GPU: nothing was timed')
        write(record | dict(pretended=results), args.out)
        return
    # A part is not cut off: the last one may take two minutes.
    results, left = run(parts(default_dtype('cuda')), 60 * args.minutes - 120)
    print('\n'.join(['', table(results), '', *remarks(results, left)]))
    write(record | dict(results=results, left=left), args.out)


if __name__ == '__main__':
    main()
