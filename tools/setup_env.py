"""Create a virtual environment from a lock file. Uses nothing but the standard library.

python3 tools/setup_env.py --stack onedl --venv .venv

Running it again does nothing if the environment is up to date, and goes on where an interrupted run
stopped. What pip says goes to setup.log in the environment.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

from progress import Progress

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ((3, 10), (3, 12))
NEEDED_GB = 9  # 6 installed, the rest while pip unpacks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--stack', choices=('onedl', 'openmmlab'), default='onedl')
    parser.add_argument('--venv', type=Path, default=ROOT / '.venv')
    args = parser.parse_args()

    lock = ROOT / 'requirements' / f'{args.stack}.txt'
    wanted = hashlib.sha256(lock.read_bytes() + (ROOT / 'pyproject.toml').read_bytes()).hexdigest()
    marker = args.venv / '.complete'
    if marker.is_file() and marker.read_text() == wanted and runs(python_of(args.venv)):
        return
    check_machine(args.venv)
    if not runs(python_of(args.venv)):
        print(f'Creating {args.venv.name} ({sys.version.split()[0]})', flush=True)
        create(args.venv)
    count = count_packages(lock)
    pip(args.venv, '-r', str(lock), label=f'{count} packages', packages=count)
    pip(args.venv, '--no-build-isolation', '-e', str(ROOT), label='wamim_mm itself', packages=1)
    marker.write_text(wanted)


def check_machine(venv: Path) -> None:
    """Stop before anything is downloaded where it cannot work."""
    lowest, highest = SUPPORTED
    if not lowest <= sys.version_info[:2] <= highest:
        sys.exit(
            f'wamim_mm needs CPython {lowest[0]}.{lowest[1]} to {highest[0]}.{highest[1]}, this is '
            f'{sys.version.split()[0]}; name another one: make PYTHON=python3.11 ...'
        )
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED_GB and not venv.exists():
        sys.exit(
            f'wamim_mm needs {NEEDED_GB} GB of free disk for its environment, got {free:.1f} GB'
        )


def python_of(venv: Path) -> Path:
    return venv / 'bin' / 'python'


def runs(python: Path) -> bool:
    """Whether an interpreter with pip is there and works."""
    try:
        done = subprocess.run([python, '-m', 'pip', '--version'], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def create(venv: Path) -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'venv', '--clear', venv], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(
            f'{sys.executable} -m venv {venv} failed:\n{done.stdout}{done.stderr}\n'
            'On Debian and Ubuntu: apt install python3-venv'
        )


def count_packages(lock: Path) -> int:
    """How many lines of the lock apply here; markers tell Python versions and platforms apart."""
    lines = [line for line in lock.read_text().splitlines() if line and not line.startswith('#')]
    return len({line.split('==')[0] for line in lines})


def pip(venv: Path, *arguments: str, label: str, packages: int) -> None:
    """Run ``pip install --no-deps`` with a line that tells how far it is.

    pip first collects all packages, then installs them: either is counted for half.
    """
    log = venv / 'setup.log'
    command = [python_of(venv), '-m', 'pip', 'install', '--no-deps', '--progress-bar', 'off']
    site = next((venv / 'lib').glob('python*/site-packages'))
    present = len(list(site.glob('*.dist-info')))
    progress = Progress(label)
    with log.open('w') as out:
        process = subprocess.Popen([*command, *arguments], stdout=out, stderr=subprocess.STDOUT)
        while process.poll() is None:
            time.sleep(0.2)
            said = log.read_text(errors='replace')
            done = said.count('Collecting ') + said.count('Requirement already satisfied')
            done += len(list(site.glob('*.dist-info'))) - present
            progress.show(min(done / (2 * packages), 1))
    if process.returncode:
        tail = '\n'.join(log.read_text(errors='replace').splitlines()[-15:])
        sys.exit(f'\npip failed, the whole log is in {log}:\n{tail}\nRun it again to go on.')
    progress.done()


if __name__ == '__main__':
    main()
