"""A disk that is full from the first checkpoint on, and has room again later.

    python -m tests.faults.disk [--out FILE]

The work dir lies on a small file system in memory, which takes root. Training must go on and report
every save that failed; the first checkpoint must stay; a start on the full disk must be refused in
one line; and after room was made, the run must end with the weights of one on a large disk.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.measure import environment, write
from wamim_mm.demo.scenes import make_scenes

from .kill import EPOCHS, ROOT, STEPS, Setting, weights

SIZE = 120  # MB; a checkpoint takes 37
SETTING = Setting(processes=1, by_epoch=True, workers=0)


def train(scenes: Path, work_dir: Path, log: Path) -> subprocess.Popen:
    """Start or resume a run."""
    with log.open('w') as out:
        return subprocess.Popen(
            [sys.executable, 'tools/train.py', *SETTING.arguments(scenes, work_dir)],
            cwd=ROOT,
            env=dict(os.environ, OMP_NUM_THREADS='1'),
            stdout=out,
            stderr=out,
        )


def fill(disk: Path) -> None:
    """Leave no byte free."""
    with (disk / 'other').open('ab', buffering=0) as file:
        for size in (2**20, 2**12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass


def scenario(folder: Path, disk: Path) -> dict[str, bool]:
    """What must hold, and whether it does."""
    scenes, run, log = folder / 'scenes', disk / 'run', folder / 'log'
    make_scenes(scenes, 60, size=128, val_fraction=0.2)
    train(scenes, folder / 'whole', log).wait()
    process = train(scenes, run, log)
    while process.poll() is None and not (run / 'epoch_1.pth').is_file():
        time.sleep(0.005)
    fill(disk)
    process.wait()
    said = log.read_text()
    found = {
        'training goes on': f'[{EPOCHS}][{STEPS}/{STEPS}]' in said,
        # The last one is tried twice.
        'failed saves are reported': said.count('MB, and 0.0 MB are free there') == EPOCHS,
        'a run without its last checkpoint is not done': process.returncode == 1,
        'the first checkpoint stays': [p.name for p in run.glob('*.pth')] == ['epoch_1.pth'],
        'nothing torn is left': not list(run.glob('.*')),
    }
    process = train(scenes, run, log)
    process.wait()
    lines = [line for line in log.read_text().splitlines() if line.startswith('train.py: ')]
    found['a start on it is refused'] = process.returncode == 2
    found['in one line'] = len(lines) == 1 and 'no space is left' in lines[0]
    (disk / 'other').unlink()
    train(scenes, run, log).wait()
    ours, theirs = weights(run), weights(folder / 'whole')
    same = all(torch.equal(ours[name], part) for name, part in theirs.items())
    found['with room it ends as on a large one'] = same
    if not all(found.values()):
        print(said[-3000:], *lines, sep='\n')
    return found


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder, 'disk')
        disk.mkdir()
        mount = ['mount', '-t', 'tmpfs', '-o', f'size={SIZE}m', 'tmpfs', str(disk)]
        if subprocess.run(mount, check=False).returncode:
            print('no small file system can be mounted here: left out')
            return
        try:
            found = scenario(Path(folder), disk)
        finally:
            subprocess.run(['umount', str(disk)], check=True)
    for what, holds in found.items():
        print(f'{"ok" if holds else "FAILED"}: {what}')
    if args.out:
        write(dict(environment=environment('tests.faults.disk'), found=found), args.out)
    sys.exit(not all(found.values()))


if __name__ == '__main__':
    main()
