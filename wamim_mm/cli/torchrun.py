"""torchrun, for a run that may be told to stop; tools/dist_train.sh starts it.

torchrun ends with 1 whatever the processes of a run end with, and SIGUSR1 would end it without
them.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

from ..interop.addresses import public_address
from .work_dir import BEGUN

#: As in `hooks.stop`, which this must not import: a run that has saved writes to the file that the
#: variable names, and its command ends with this code.
NOTE, SAVED = 'WAMIM_SAVED', 75


def main() -> None:
    """Run torchrun with the arguments of this process.

    Raises:
        SystemExit: With 75 if the run has saved and can go on; with 128 and the number of the
            signal if it was ended before.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.run import main as torchrun

    # It passes SIGTERM on to the processes, SIGUSR1 only in new versions.
    signal.signal(signal.SIGUSR1, lambda *_: signal.raise_signal(signal.SIGTERM))
    if 'MASTER_ADDR' in os.environ:
        # Its own guess is this machine's name, which the others may not know.
        sys.argv.insert(1, f'--local-addr={public_address(os.environ["MASTER_ADDR"])}')
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder, 'saved')
        os.environ[NOTE] = str(note)
        os.environ[BEGUN] = str(Path(folder, 'begun'))
        code = 0
        try:
            torchrun()
        except SignalException as stop:
            code = 128 + stop.sigval
        sys.exit(SAVED if note.exists() else code)


if __name__ == '__main__':
    main()
