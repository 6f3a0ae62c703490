"""Running a script of tools/ in a copy of a process that has imported the libraries.

That saves the seven seconds that they take to be imported. What depends on a fresh interpreter is
tested in one: tests/test_imports.py, tests/cli/test_doors.py.
"""

import multiprocessing
import os
import runpy
import sys
import tempfile
import traceback
from pathlib import Path
from subprocess import CompletedProcess

ROOT = Path(__file__).resolve().parent.parent


def run(arguments: list, timeout: float = 1200) -> CompletedProcess:
    """Run a script in the repository; the code, and what it has written to stdout and stderr.

    Args:
        arguments: The script and its arguments.
        timeout: In seconds; after it the process is killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, 'out'), Path(folder, 'err')
        process = start(arguments, out, err)
        process.join(timeout)
        if process.is_alive():
            process.kill()
            process.join()
        texts = [file.read_text() if file.is_file() else '' for file in (out, err)]
        return CompletedProcess(arguments, process.exitcode, *texts)


def start(arguments: list, out: Path, err: Path) -> multiprocessing.Process:
    """Start a script in the repository, which writes to these files."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.forked_libraries'])
    process = context.Process(target=_run, args=([str(part) for part in arguments], out, err))
    process.start()
    return process


def _run(arguments: list[str], out: Path, err: Path) -> None:
    os.chdir(ROOT)
    sys.argv = arguments
    with out.open('w') as stdout, err.open('w') as stderr:
        os.dup2(stdout.fileno(), 1)
        os.dup2(stderr.fileno(), 2)
        sys.stdout, sys.stderr = stdout, stderr
        code = 1
        try:
            runpy.run_path(arguments[0], run_name='__main__')
            code = 0
        except SystemExit as stop:
            code = stop.code
            if isinstance(code, str):
                stderr.write(code)
        except BaseException:
            traceback.print_exc()
        stdout.flush()
        stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)
