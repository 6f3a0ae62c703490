"""The study's records: a JSON line for each run, and locks by which processes share the work."""

import fcntl
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .plan import config_hash, configs_by_hash

RESULTS = Path('docs/results/study')


def read(path: Path) -> dict[str, dict]:
    """The last record of every key. A line that was cut while it was written is left out.

    A record knows its config by the hash: where the file has another name since, so has the record.
    """
    found = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        record = renamed(record)
        found[record['key']] = record
    return found


def renamed(record: dict) -> dict:
    """A record under the name that its config has now; as it is where no config is like that."""
    old, digest = record.get('config'), record.get('config_hash')
    if digest is None or config_hash(old) == digest:
        return record
    new = configs_by_hash().get(digest)
    if new is None:
        return record
    return dict(record, config=new, key=record['key'].replace(old, new))


def current(path: Path) -> dict[str, dict]:
    """The last record of every key, of runs that ended, with the configs as they are now."""
    return {
        key: record
        for key, record in read(path).items()
        if record['status'] in ('done', 'failed')
        and record['config_hash'] == config_hash(record['config'])
    }


def append(path: Path, record: dict) -> None:
    """Add a record as one line, whole, whoever else writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a+b') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0, 2)
        torn = file.tell() and (file.seek(-1, 2), file.read(1))[1] != b'\n'
        file.write(b'\n' * bool(torn) + json.dumps(record).encode() + b'\n')


def commit() -> str:
    """The commit that is checked out, with ``+`` where files differ from it."""
    try:
        head, changed = (
            subprocess.run(
                ['git', *words], capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (['rev-parse', '--short=12', 'HEAD'], ['status', '--porcelain', '-uno'])
        )
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'
    return head + '+' * any('docs/results' not in line for line in changed.splitlines())


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Whether the folder is this process's until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / 'lock').open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
