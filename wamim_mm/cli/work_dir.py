"""One run in a work dir at a time, and none over another."""

from __future__ import annotations

import fcntl
import os
import socket
from datetime import datetime
from pathlib import Path

from ..launcher_notes import BEGUN, SAVED

LOCK = 'train.lock'
#: The work dirs of this process.
_taken: set[str] = set()


def claim_work_dir(path: str, resume: bool, first: bool, option: str = '--work-dir') -> None:
    """Take a work dir for as long as this process lives.

    The kernel gives it back however the process ends, so that nothing is left to clean up. What
    this process has taken it may take again.

    Args:
        path: The work dir; created if it is not there.
        resume: Whether the run that it holds goes on.
        first: Whether this is the first process of a run. It alone takes the lock. Where that
            fails it ends, and the launcher ends the others with it.
        option: What names the work dir, for messages.

    Raises:
        ValueError: The work dir cannot be written, is another run's now, or holds a run that does
            not go on.
    """
    if not resume:
        refuse_other_run(path, f'go on with it by --resume, or choose another {option}')
    if first and os.path.realpath(path) not in _taken:
        try:
            _lock(path)
        except ValueError as error:
            raise ValueError(f'{error} choose another {option}') from error
        _taken.add(os.path.realpath(path))


def refuse_other_run(path: str, fix: str) -> None:
    """Raise ValueError where a work dir holds a run.

    Args:
        path: The work dir, which may not be there.
        fix: What to do about it, the end of the message.
    """
    held = _run_in(Path(path))
    if held:
        raise ValueError(f'{path} holds a run ({held}); {fix}')


def holds_checkpoint(path: str) -> bool:
    """Whether a work dir has a checkpoint to resume from, or names one elsewhere."""
    return any(Path(path).glob('*.pth')) or Path(path, 'last_checkpoint').is_file()


def started_before() -> bool:
    """Whether the launcher on this machine has started this process in the place of another.

    torchrun itself counts its restarts, but those alone for which the reason was on this machine.
    """
    begun = BEGUN in os.environ and Path(os.environ[BEGUN]).exists()
    return begun or int(os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')) > 0


def note_start() -> None:
    """Let the launcher's next processes know of this one; see `started_before`.

    What those before it have said of their end holds no longer.
    """
    if BEGUN in os.environ:
        Path(os.environ[BEGUN]).touch()
        Path(os.environ[SAVED]).unlink(missing_ok=True)


def last_checkpoint(work_dir: Path) -> Path:
    """The checkpoint of a training run that is furthest on and whole, as ``--resume`` takes it.

    Raises:
        FileNotFoundError: There is none.
        RuntimeError: There are some, and none is whole.
    """
    from ..interop.saving import find_latest

    found = find_latest(str(work_dir))
    if found is None or not Path(found).is_file():
        raise FileNotFoundError(f'no checkpoint of a run in {str(work_dir)!r}')
    return Path(found)


def _run_in(work_dir: Path) -> str | None:
    """What a run has left behind that another one would overwrite or mix with its own."""
    checkpoint = next(iter(sorted(work_dir.glob('*.pth'))), None)
    if checkpoint is not None:
        return checkpoint.name
    logs = work_dir.glob('*/vis_data/scalars.json')
    # A start that failed before its first step has an empty log, or none.
    return next((str(log.relative_to(work_dir)) for log in logs if log.stat().st_size), None)


def _lock(path: str) -> None:
    """Take it, or raise ValueError, whose message ends before what else to choose."""
    try:
        os.makedirs(path, exist_ok=True)
        file = Path(path, LOCK).open('a+')  # noqa: SIM115 (for as long as the process lives)
    except OSError as error:
        raise ValueError(f'work dir {path!r} cannot be written: {error.strerror};') from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise ValueError(
            f'{path} is in use by {file.read().strip() or "another process"}; wait for its end, or'
        ) from None
    except OSError as error:
        print(
            f'{path} is on a filesystem without locks ({error.strerror}): a second run there would '
            'not be noticed',
            flush=True,
        )
    file.truncate(0)
    since = datetime.now().astimezone().isoformat(' ', 'seconds')
    file.write(f'process {os.getpid()} on {socket.gethostname()} since {since}\n')
    file.flush()
    # The loader's workers would keep the lock when this process is killed. This also keeps the file
    # open here.
    os.register_at_fork(after_in_child=file.close)
    os.register_at_fork(after_in_child=_taken.clear)
