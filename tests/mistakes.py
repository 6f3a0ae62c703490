"""Running a command with a mistake in it.

A light mistake must be answered before anything heavy is imported, so it gets a fresh interpreter.
"""

import re
import shlex
import subprocess
import sys
from typing import NamedTuple

from . import forked
from .forked import ROOT

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
    line: str
    imported: list[str]


def answer(command: str, light: bool) -> Answer:
    """Run a command of tools/, given without ``python tools/``.

    Args:
        command: The name of the script and its arguments.
        light: Whether to look at what it imports.
    """
    script, *arguments = shlex.split(command)
    arguments = [f'tools/{script}.py', *arguments]
    if not light:
        done = forked.run(arguments, timeout=240)
        return Answer(done.returncode, _without_warnings(done.stderr), [])
    code = LIGHT.replace('{heavy}', repr(HEAVY))
    done = subprocess.run(
        [sys.executable, '-c', code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    imported = done.stdout.partition('imported:')[2].split()
    return Answer(done.returncode, done.stderr.strip(), imported)


def _without_warnings(errors: str) -> str:
    """What is left of stderr: not the libraries' warnings, nor a bar that was begun."""
    kept = []
    skip = False
    for line in re.split(r'[\r\n]+', errors):
        if skip and line.startswith('  '):
            continue
        skip = bool(re.search(r': \w*Warning: ', line))
        if line.strip() and not skip and '%|' not in line:
            kept.append(line)
    return '\n'.join(kept)
