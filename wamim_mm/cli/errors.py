"""A mistake is answered with one line and exit code 2, in place of a traceback.

The libraries say what is wrong in exceptions of every kind, from deep inside. Until the first step
of a run is done, all of them are taken for mistakes: of a command line, a config, a data set or a
checkpoint. Later they are not, and show where they come from.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NoReturn

from ..class_names import unknown_type

#: The text of these exceptions says what is wrong; that of others does not make sense without the
#: name of the exception and the place that it comes from.
SELF_EXPLAINING = (ImportError, OSError, UnpicklingError, ValueError)
#: What the libraries say, and what it means for the user of a command.
KNOWN = (
    (
        r'out of memory|DefaultCPUAllocator: not enough memory',
        'not enough memory for a step: set train_dataloader.batch_size to less (with '
        '--auto-scale-lr), or add --amp',
    ),
    (
        r'DataLoader worker .* (is killed by signal|exited unexpectedly)'
        r'|unable to (open|mmap|allocate) shared memory',
        'a data worker ended, mostly for lack of (shared) memory: set '
        'train_dataloader.num_workers to less, or give the container more with --shm-size',
    ),
    (
        r'No space left on device',
        'no space is left where the command writes: make room, or choose another place',
    ),
    (
        r'AmpOptimizerWrapper.* is only available',
        'optim_wrapper.type=AmpOptimWrapper needs a GPU; on a CPU, train with --amp or with '
        'optim_wrapper.type=OptimWrapper',
    ),
    (
        r'^None is not a callable object$',
        'optim_wrapper.optimizer.type, or that of another part, is no class that is registered',
    ),
)
_LONGEST = 600  # characters of a library's message

_began = False


class CommandParser(ArgumentParser):
    """A parser that knows ``--debug``, and answers in one line too."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_argument('--debug', action='store_true', help='show the traceback of an error')

    def error(self, message: str) -> NoReturn:
        """End the program with exit code 2."""
        self.exit(2, f'{self.prog}: {message}; see {self.prog} --help\n')


def positive(text: str) -> int:
    """The type of an argument that is a number from 1 on.

    Raises:
        ArgumentTypeError: It is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f'must be a number from 1 on, got {text!r}')
    return int(text)


def metrics_file(text: str) -> str:
    """The type of an argument that names a file for metrics.

    Raises:
        ArgumentTypeError: MMEngine writes no such files.
    """
    kinds = ('.json', '.yaml', '.yml', '.pkl', '.pickle')
    if not text.endswith(kinds):
        raise ArgumentTypeError(f'{text!r} must end in {", ".join(kinds)}')
    return text


def share(text: str) -> float:
    """The type of an argument that is a share of something.

    Raises:
        ArgumentTypeError: It is no number from 0 to 1.
    """
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 1:
        raise ArgumentTypeError(f'must be a number from 0 to 1, got {text!r}')
    return number


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Let the function of a command answer a mistake with one line on stderr and exit code 2.

    Ctrl-C has one line too, and the code that shells give it, 130. With ``--debug`` on the command
    line exceptions pass. After the first step of a run all pass but those that say that its numbers
    are not finite.
    """

    @functools.wraps(main)
    def run() -> None:
        global _began
        _began = False
        try:
            main()
        except KeyboardInterrupt:
            if '--debug' in sys.argv:
                raise
            print(f'{Path(sys.argv[0]).name}: interrupted', file=sys.stderr)
            sys.exit(130)
        except Exception as error:
            diverged = isinstance(error, FloatingPointError) and _is_ours(error)
            if '--debug' in sys.argv or (_began and not diverged):
                raise
            rank = os.environ.get('RANK', '0')
            process = '' if rank == '0' else f' (process {rank})'
            print(f'{Path(sys.argv[0]).name}{process}: {explain(error)}', file=sys.stderr)
            sys.exit(1 if _began else 2)

    return run


def note_first_step() -> None:
    """A run has begun: what goes wrong from now on is no mistake on the command line."""
    global _began
    _began = True


def explain(error: Exception) -> str:
    """What is wrong, in one line; what our own code says is printed as it is."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip()
    whole = text
    in_worker = re.match(r'Caught (\w+) in \w+ \w+ process', text)
    if in_worker:
        # The worker's traceback ends with the name of the exception and its text.
        text = text.splitlines()[-1].removeprefix(f'{in_worker[1]}: ')
    for pattern, meaning in KNOWN:
        if re.search(pattern, whole):
            return f'{meaning} ({_short(text)})'
    unknown = re.match(r'(\S+) is not in the (\S+)::(.+?) registry', text)
    if unknown:
        return unknown_type(*unknown.groups())
    ours = not in_worker and _is_ours(error)
    if ours and isinstance(error, (*SELF_EXPLAINING, RuntimeError, FloatingPointError)):
        return text
    if isinstance(error, SELF_EXPLAINING) and text:
        return _short(text)
    place = f'{_place(error)}; --debug shows how it got there'
    return f'{type(error).__name__}: {_short(text)} ({place})'


def _is_ours(error: Exception) -> bool:
    """Whether it was raised by a line of this package."""
    return _innermost(error).tb_frame.f_globals.get('__name__', '').startswith('wamim_mm.')


def _place(error: Exception) -> str:
    last = _innermost(error)
    path = Path(last.tb_frame.f_code.co_filename)
    return f'{"/".join(path.parts[-3:])}, line {last.tb_lineno}'


def _innermost(error: Exception) -> Any:
    last: Any = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    return last


def _short(text: str) -> str:
    text = ' '.join(text.split())
    return text if len(text) <= _LONGEST else f'{text[:_LONGEST]}...'
