"""Twenty thousand iterations: resident memory, open files and the time of a step stay flat.

    python -m tests.faults.length [--iterations 20000] [--out FILE]

A small WaMIM ViT on small images through tools/train.py, in one process with two data workers, with
checkpoints on the way. The second and the last tenth of the run are compared: memory and open files
of the process and of its workers may grow by 2 %, the processor time of a step by 10 %, since other
programs share the machine.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.measure import environment, write
from wamim_mm.demo.scenes import make_scenes

ROOT = Path(__file__).resolve().parent.parent.parent
MEMORY, STEP = 1.02, 1.10
SIZE, BATCH = 32, 4


def arguments(scenes: Path, work_dir: Path, iterations: int) -> list[str]:
    """Of tools/train.py: epochs of 24 steps, so that workers, too, see many of them."""
    options = {
        'data_root': scenes,
        'train_cfg.max_epochs': iterations // 24,
        'train_dataloader.batch_size': BATCH,
        'train_dataloader.num_workers': 2,
        'train_dataloader.persistent_workers': True,
        'train_dataloader.dataset.pipeline.0.scale': SIZE,
        'model.backbone.img_size': SIZE,
        'model.backbone.patch_size': 4,
        'model.backbone.arch.embed_dims': 48,
        'model.backbone.arch.feedforward_channels': 96,
        'model.neck.strides': 4,
        'model.neck.embed_dims': 16,
        'model.target_generator.levels': '(1,2,3,4)',
        'default_hooks.checkpoint.interval': 20,
        'default_hooks.logger.interval': 20,
    }
    return [
        *('configs/demo/wamim_vit.py', '--work-dir', str(work_dir)),
        *('--cfg-options', *(f'{key}={value}' for key, value in options.items())),
    ]


def sample(process: psutil.Process, work_dir: Path) -> dict:
    """Memory, open files and processor time of a process and its children, and where it is."""
    family = [process, *process.children(recursive=True)]
    lines = [line for file in work_dir.glob('*/vis_data/scalars.json') for line in file.open()]
    return dict(
        iteration=json.loads(lines[-1])['step'] if lines else 0,
        seconds=sum(process.cpu_times()[:2]),
        own=process.memory_info().rss,
        # Pages that a worker shares with the main process count twice: what is not shared any
        # longer, since one of them has written there, is no growth.
        all=sum(part.memory_info().rss for part in family),
        files=sum(part.num_fds() for part in family),
        processes=len(family),
    )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--iterations', type=int, default=20_000)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scenes, work_dir = Path(folder, 'scenes'), Path(folder, 'run')
        make_scenes(scenes, 120, size=64, val_fraction=0.2)
        command = [sys.executable, 'tools/train.py', *arguments(scenes, work_dir, args.iterations)]
        log = Path(folder, 'log')
        with log.open('w') as out:
            run = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        samples = []
        while run.poll() is None:
            time.sleep(2)
            try:
                samples.append(sample(psutil.Process(run.pid), work_dir))
            except psutil.NoSuchProcess:
                continue  # it or a worker has just ended
        if run.returncode:
            sys.exit(log.read_text()[-2000:])
    most = max(part['processes'] for part in samples)
    samples = [part for part in samples if part['iteration'] and part['processes'] == most]
    tenth = len(samples) // 10
    early, late = samples[tenth : 2 * tenth], samples[-tenth:]
    parts = {
        name: [statistics.median(part[name] for part in group) for group in (early, late)]
        for name in ('own', 'all', 'files')
    }
    parts['step'] = [
        (group[-1]['seconds'] - group[0]['seconds'])
        / (group[-1]['iteration'] - group[0]['iteration'])
        for group in (early, late)
    ]
    limits = dict(own=MEMORY, all=MEMORY, files=MEMORY, step=STEP)
    failed = [name for name, (a, b) in parts.items() if b > a * limits[name]]
    for name, (a, b) in parts.items():
        print(f'{name}: {a:.4g} -> {b:.4g} ({b / a - 1:+.2%})')
    if args.out:
        results = dict(iterations=samples[-1]['iteration'], early_and_late=parts, failed=failed)
        write(dict(environment=environment('tests.faults.length'), **results), args.out)
    sys.exit(f'grew: {", ".join(failed)}' if failed else 0)


if __name__ == '__main__':
    main()
