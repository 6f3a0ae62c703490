"""Running a command with a mistake in it: quickly, and many times.

A light mistake must be answered before anything heavy is imported, so it gets a fresh interpreter.
For the others a server imports the libraries once, and every command is a copy of it.
"""

import multiprocessing
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ('torch', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg', 'transformers', 'matplotlib')
#: Runs a script and says what it has imported.
LIGHT = """
import runpy, sys
sys.argv = sys.argv[1:]
code = 0
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
except SystemExit as stop:
    code = stop.code
print('imported:', *[name for name in {heavy} if name in sys.modules])
sys.exit(code)
"""


class Answer(NamedTuple):
    """What a command says and, of a light one, the heavy libraries that it has imported."""

    code: int
    screen: str
    line: str
    imported: list[str]


def answer(command: str, light: bool, log: Path) -> Answer:
    """Run a command of tools/, given without ``python tools/``.

    Args:
        command: The name of the script and its arguments.
        light: Whether to look at what it imports.
        log: A file for what it prints.
    """
    script, *arguments = shlex.split(command)
    arguments = [f'tools/{script}.py', *arguments]
    if light:
        code = LIGHT.replace('{heavy}', repr(HEAVY))
        done = subprocess.run(
            [sys.executable, '-c', code, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        screen, _, imported = done.stdout.partition('imported:')
        return Answer(done.returncode, screen, done.stderr.strip(), imported.split())
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.mistakes_libraries'])
    process = context.Process(target=_run, args=(arguments, log))
    process.start()
    process.join(240)
    if process.is_alive():
        process.kill()
    screen, _, errors = log.read_text().partition('\0')
    return Answer(process.exitcode, screen, _without_warnings(errors), [])


def _run(arguments: list[str], log: Path) -> None:
    os.chdir(ROOT)
    errors = log.with_suffix('.err')
    with log.open('w') as out, errors.open('w') as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        sys.stdout, sys.stderr = out, err
        sys.argv = arguments
        code = 1
        try:
            runpy.run_path(arguments[0], run_name='__main__')
            code = 0
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            import traceback

            traceback.print_exc()
        out.flush()
        err.flush()
    with log.open('a') as out:
        out.write('\0' + errors.read_text())
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _without_warnings(errors: str) -> str:
    """What is left of stderr: not the libraries' warnings, nor a bar that was begun."""
    lines = re.split(r'[\r\n]+', errors)
    kept = []
    skip = False
    for line in lines:
        if skip and line.startswith('  '):
            continue
        skip = bool(re.search(r': \w*Warning: ', line))
        if line.strip() and not skip and '%|' not in line:
            kept.append(line)
    return '\n'.join(kept)
