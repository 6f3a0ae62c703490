"""From nothing to an embedded folder: what a newcomer types, with the time that it takes.

    python -m benchmarks.stopwatch [--images 2000]

Builds the wheel and draws the images beforehand; then, with an empty virtual environment, takes the
time of three commands: pip, wamim pretrain, wamim embed.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from benchmarks.measure import OUT, environment, write
from wamim_mm.data.scenes import make_scenes

ROOT = Path(__file__).resolve().parents[1]
#: Of the scenes, and how often they are seen: enough to see all three commands at work.
SIZE, EPOCHS = 96, 3


def commands(wheel: Path) -> list[list[str]]:
    """What is typed."""
    return [
        ['pip', 'install', f'wamim_mm[onedl] @ {wheel.as_uri()}'],
        ['wamim', 'pretrain', '--data', 'images', '--out', 'out', '--epochs', str(EPOCHS)],
        ['wamim', 'embed', f'out/epoch_{EPOCHS}.pth', 'images', '--out', 'out/vectors.npz'],
    ]


def main() -> None:
    """Take the time, print it and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=2000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build = (sys.executable, '-m', 'uv', 'build', '--wheel', '--quiet', '-o', folder, ROOT)
        subprocess.run(build, check=True)
        # All but a few are for training.
        make_scenes(folder / 'scenes', args.images + 20, SIZE, val_fraction=20 / (args.images + 20))
        (folder / 'images').symlink_to(folder / 'scenes/train')
        venv.create(folder / 'env', with_pip=True)
        steps = []
        for command in commands(next(folder.glob('*.whl'))):
            start = time.perf_counter()
            program = folder / 'env/bin' / command[0]
            subprocess.run([program, *command[1:]], cwd=folder, check=True)
            seconds = round(time.perf_counter() - start, 1)
            typed = ' '.join(command[:2]) + (' wamim_mm[onedl]' if command[0] == 'pip' else '')
            steps.append(dict(command=typed, seconds=seconds))
        total = round(sum(step['seconds'] for step in steps), 1)
    for step in steps:
        print(f'{step["seconds"]:7.1f} s  {step["command"]}')
    print(f'{total:7.1f} s  in all')
    result = dict(images=args.images, epochs=EPOCHS, steps=steps, seconds=total)
    write(dict(environment('benchmarks.stopwatch'), **result), OUT / 'stopwatch.json')


if __name__ == '__main__':
    main()
