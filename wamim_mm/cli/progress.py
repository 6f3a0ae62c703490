"""A progress line with the time left. Uses nothing but the standard library."""

import os
import sys
import time


class Progress:
    """One line on a terminal, redrawn in place; elsewhere a line every 15 seconds.

    Args:
        label: What is going on.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.started = time.time()
        self.shown = 0.0
        self.first: float | None = None

    def show(self, share: float, note: str = '') -> None:
        """Say how far it is, 0 to 1; the time left is extrapolated from the time passed.

        What an interrupted run had done before counts as done, not as done in this time.
        """
        if time.time() - self.shown < (0.5 if sys.stdout.isatty() else 15):
            return
        self.shown = time.time()
        self.first = share if self.first is None else min(self.first, share)
        passed = self.shown - self.started
        filled = round(24 * share)
        gained = share - self.first
        left = f'about {clock(passed * (1 - share) / gained)} left' if gained > 0.05 else ''
        self._write(
            f'{self.label:<34} [{"#" * filled}{"." * (24 - filled)}] {share:4.0%} '
            f'{clock(passed)} {left}  {note}'.rstrip(),
            last=False,
        )

    def done(self, result: str = '') -> None:
        """Replace the line by the time that it took, and what came of it."""
        self._write(f'{self.label:<34} {clock(time.time() - self.started):>6}  {result}', last=True)

    def _write(self, line: str, last: bool) -> None:
        text = (
            f'\r{line:<110}' + ('\n' if last else '')
            if sys.stdout.isatty()
            else line.rstrip() + '\n'
        )
        try:
            print(text, end='', flush=True)
        except OSError:
            # The terminal is closed, or Ctrl-C has ended the `tee` behind it: work goes on, unseen.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


def duration(seconds: float) -> str:
    """In minutes, hours or days, whichever is one at least."""
    for unit, length in (('days', 86400), ('hours', 3600)):
        if seconds >= 2 * length:
            return f'{seconds / length:.0f} {unit}'
    return f'{max(1, seconds / 60):.0f} min'
