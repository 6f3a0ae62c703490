"""Create a virtual environment from a lock file. Uses nothing but the standard library.

python3 tools/setup_env.py --stack onedl --venv .venv

Running it again does nothing if the environment is up to date, and goes on where an interrupted run
stopped.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ((3, 10), (3, 12))
NEEDED_GB = 9  # 6 installed, the rest while packages are unpacked
UV = 'uv==0.13.9'
# What a wheel puts beside the package: so that programs which import another library first work.
AT_START = sorted((ROOT / 'wamim_mm' / 'interop' / 'at_start').glob('*at_start.p*'))


def main() -> None:
    """Create the environment, or leave it as it is where it is complete and up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--stack', choices=('onedl', 'openmmlab'), default='onedl')
    parser.add_argument('--venv', type=Path, default=ROOT / '.venv')
    args = parser.parse_args()

    lock = ROOT / 'requirements' / f'{args.stack}.txt'
    recipe = [lock, ROOT / 'pyproject.toml', *AT_START, Path(__file__)]
    wanted = hashlib.sha256(b''.join(path.read_bytes() for path in recipe)).hexdigest()
    python, marker = args.venv / 'bin' / 'python', args.venv / '.complete'
    if marker.is_file() and marker.read_text() == wanted and runs(python):
        return
    check_machine(args.venv)
    if not runs(python):
        print(f'Creating {args.venv.name} ({sys.version.split()[0]})', flush=True)
        run(
            [sys.executable, '-m', 'venv', '--clear', args.venv],
            'on Debian and Ubuntu: apt install python3-venv',
        )
    again = 'run it again to go on'
    run([python, '-m', 'pip', 'install', '--quiet', UV], again)
    install = [python, '-m', 'uv', 'pip', 'install', '--python', python, '--no-deps']
    run([*install, '-r', lock], again)
    run([*install, '--no-build-isolation', '-e', ROOT], again)
    ask = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    libraries = subprocess.run([python, '-c', ask], capture_output=True, text=True, check=True)
    for file in AT_START:
        shutil.copy(file, libraries.stdout.strip())
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


def runs(python: Path) -> bool:
    """Whether an interpreter with pip is there and works."""
    try:
        done = subprocess.run([python, '-m', 'pip', '--version'], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def run(command: list, fix: str) -> None:
    """Run a command that says itself how far it is; stop where it fails."""
    if subprocess.run(command, check=False).returncode:
        sys.exit(f'setup_env.py: {" ".join(map(str, command))} failed; {fix}')


if __name__ == '__main__':
    main()
