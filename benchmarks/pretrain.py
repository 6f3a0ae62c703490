"""The full training step of WaMIM and MFM beside mmpretrain's MAE, SimMIM, MaskFeat and MixMIM.

    python -m benchmarks.pretrain [--methods ...] [--backbones ...] [--batch 16] [--dtype ...]

What a step is: see benchmarks/training.py. Each method has a process of its own, so that its memory
is its own, and the processes take turns: a round of one while the others sleep. Ratios are medians
over the rounds, of pairs of one round. The parts of a step are timed in other steps than those of
the rounds, since on a GPU looking at the parts slows the step down. With --compile, the masks that
mmpretrain's MAE and MixMIM draw inside their encoders count as encoder.
"""

import argparse
import itertools
import math
import multiprocessing
import socket
import statistics
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings

from benchmarks.measure import (
    DEVICES,
    OUT,
    aligned,
    alternate,
    environment,
    peak_flops,
    ratio,
    show_ratio,
    write,
)
from benchmarks.training import (
    CONFIGS,
    PARTS,
    STEPS,
    Settings,
    Training,
    default_dtype,
    load_config,
)

OURS = ('wamim', 'mfm')
REMARKS = {
    'simmim-w6': "with the windows of mmpretrain's config; at 224 pixels they pad every stage",
    'mixmim': 'an encoder of its own, of the size of Swin-B, with windows of 14, 14, 14, 7',
}


def serve(pipe: Connection, cfg: Config, settings: Settings, rank: int, port: int) -> None:
    """A process of a method: call what the pipe names of `Training`, until the pipe closes."""
    try:
        import_modules_from_strings(**cfg.get('custom_imports', dict(imports=[])))
        init_default_scope('mmpretrain')
        MMLogger.get_current_instance().setLevel('ERROR')
        torch.set_num_threads(max(1, torch.get_num_threads() // settings.processes))
        if settings.device == 'cuda':
            torch.cuda.set_device(rank)
        if settings.processes > 1:
            torch.distributed.init_process_group(
                'nccl' if settings.device == 'cuda' else 'gloo',
                init_method=f'tcp://127.0.0.1:{port}',
                rank=rank,
                world_size=settings.processes,
            )
        training = Training(cfg, settings, rank)
        pipe.send((True, None))
        while True:
            pipe.send((True, getattr(training, pipe.recv())()))
    except EOFError:
        return
    except Exception as error:  # whatever it is, the other methods go on
        pipe.send((False, f'{type(error).__name__}: {error}'.splitlines()[0]))


class Method:
    """The processes of one method."""

    def __init__(self, cfg: Config, settings: Settings) -> None:
        context = multiprocessing.get_context('spawn')
        self.error: str | None = None
        self.pipes, self.processes, port = [], [], free_port()
        for rank in range(settings.processes):
            here, there = context.Pipe()
            # A daemon ends with this process, however that ends.
            process = context.Process(
                target=serve, args=(there, cfg, settings, rank, port), daemon=True
            )
            process.start()
            there.close()
            self.pipes.append(here)
            self.processes.append(process)

    def ask(self, question: str):
        """Let all processes call a method of `Training`, and return what they answer.

        Returns:
            The answer of the first, or of the slowest where it is a time; NaN after a failure.
        """
        if self.error is None:
            try:
                for pipe in self.pipes:
                    pipe.send(question)
            except ConnectionError:
                self.error = 'the process died; out of memory?'
        return self.answer()

    def answer(self):
        """Wait for the processes, after their start or a question; see `ask`."""
        values = []
        try:
            for pipe in self.pipes if self.error is None else ():
                done, value = pipe.recv()
                if not done:
                    self.error = value
                values.append(value)
        except (EOFError, ConnectionError):
            self.error = 'the process died; out of memory?'
        if self.error is not None:
            self.close()
            return math.nan
        return max(values) if isinstance(values[0], float) else values[0]

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
            process.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def compare(configs: dict[str, Config], settings: Settings, rounds: int) -> dict[str, dict]:
    """Measure methods in turns.

    Returns:
        For each: ``seconds`` of a step in every round, ``images_per_second`` of all processes,
        ``parts``, ``flops_per_image``, ``utilization`` (model FLOP/s as a share of the GPUs' peak,
        None where that is not known), ``peak_bytes`` of a process; or ``error``.
    """
    methods = {name: Method(cfg, settings) for name, cfg in configs.items()}
    for method in methods.values():
        method.answer()
    found = {}
    for name, method in methods.items():
        print(f'preparing {name}', flush=True)
        found[name] = method.ask('prepare')
        method.ask('reset_peak')
    print(f'{rounds} rounds', flush=True)
    turns = {name: partial(method.ask, 'round') for name, method in methods.items()}
    seconds = alternate(turns, rounds)

    results = {}
    for name, method in methods.items():
        peak = method.ask('peak')
        method.close()
        if method.error is not None:
            results[name] = dict(error=method.error)
            continue
        speed = settings.processes * settings.batch / statistics.median(seconds[name])
        results[name] = dict(
            found[name],
            seconds=seconds[name],
            images_per_second=speed,
            utilization=utilization(speed * found[name]['flops_per_image'], settings),
            peak_bytes=peak,
        )
    return results


def utilization(flops: float, settings: Settings) -> float | None:
    name = torch.cuda.get_device_name(0) if settings.device == 'cuda' else ''
    peak = peak_flops(name, settings.dtype)
    return None if peak is None else flops / (settings.processes * peak)


def ratios(results: dict[str, dict]) -> dict[str, dict]:
    """Each of our methods beside every other: times as fast, and its share of the memory."""
    done = [name for name, result in results.items() if 'error' not in result]
    return {
        f'{own} / {peer}': dict(
            speed=ratio(results[peer]['seconds'], results[own]['seconds']),
            memory=results[own]['peak_bytes'] / results[peer]['peak_bytes'],
        )
        for own, peer in itertools.product(done, done)
        if own in OURS and peer not in OURS
    }


def report(results: dict[str, dict]) -> str:
    """The results of one backbone as text."""
    heads = ['', 'images/s', 'ms', *PARTS, 'peak MB', 'GFLOP/image', 'utilization']
    rows, lines = [], []
    for name, result in results.items():
        if 'error' in result:
            lines.append(f'{name} failed: {result["error"]}')
            continue
        used = result['utilization']
        rows.append(
            [name, f'{result["images_per_second"]:.2f}']
            + [f'{1000 * statistics.median(result["seconds"]):.1f}']
            + [f'{1000 * result["parts"][part]:.1f}' for part in PARTS]
            + [f'{result["peak_bytes"] / 1e6:.0f}', f'{result["flops_per_image"] / 1e9:.1f}']
            + ['-' if used is None else f'{used:.1%}']
        )
    lines += [f'{name}: {text}' for name, text in REMARKS.items() if name in results]
    for pair, both in ratios(results).items():
        lines.append(f'{pair}: {show_ratio(both["speed"])}, memory {both["memory"]:.2f}x')
    return '\n'.join([aligned(heads, rows), *lines])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.pretrain', description=__doc__.splitlines()[0]
    )
    backbones = ('vit-b', 'swin-b')
    add = partial(parser.add_argument, help='(%(default)s)')
    add('--methods', nargs='+', choices=CONFIGS, default=list(CONFIGS))
    add('--backbones', nargs='+', choices=backbones, default=backbones)
    add('--batch', type=int, default=16, help='images of each process (%(default)s)')
    add('--dtype', choices=('fp32', 'bf16', 'fp16'), help='bf16 on a GPU that has it, else fp32')
    add('--device', choices=DEVICES, default=DEVICES[-1])
    add('--processes', type=int, default=1, help='data-parallel processes (%(default)s)')
    add('--rounds', type=int, default=3)
    steps = f'steps timed in a round ({STEPS["cpu"]} on a CPU, {STEPS["cuda"]} on a GPU)'
    add('--steps', type=int, help=steps)
    add('--compile', action='store_true', help='torch.compile encoder and decoder')
    add('--out', type=Path, default=OUT / 'pretrain.json')
    args = parser.parse_args(argv)
    try:
        settings = Settings(
            batch=args.batch,
            device=args.device,
            dtype=args.dtype or default_dtype(args.device),
            steps=args.steps or STEPS[args.device],
            compile=args.compile,
            processes=args.processes,
        )
    except ValueError as error:
        parser.error(str(error))

    found = dict(results={}, ratios={})
    for backbone in args.backbones:
        configs = {name: load_config(name, backbone) for name in args.methods}
        for name in [name for name, cfg in configs.items() if cfg is None]:
            print(f'mmpretrain has no {name} for {backbone}: left out')
            del configs[name]
        results = compare(configs, settings, args.rounds)
        found['results'][backbone], found['ratios'][backbone] = results, ratios(results)
        title = f'{backbone}, {args.batch} images, {settings.dtype}, {args.device}'
        print(f'\n{title}\n{report(results)}\n')
    write(environment('benchmarks.pretrain') | found, args.out)


if __name__ == '__main__':
    main()
