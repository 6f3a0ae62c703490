"""A run prints only the messages that matter; its log file has all of them."""

import logging
import time
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from .errors import note_first_step
from .progress import Progress
from .schedule import in_iterations
from .settings import check_recomputed

#: The beginnings of MMEngine's messages that are for the file only: its descriptions of the machine
#: and of its hooks, the whole config (which is also written beside the log), a line about every
#: parameter, and warnings about its own old names.
FILE_ONLY = (
    'System environment:',
    'Config:',
    'Distributed training is not used',
    'Hooks will be executed in the following order:',
    'paramwise_options -- ',
    'Param groups = ',
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
)
#: The end of the message about each frozen parameter.
FROZEN = 'is skipped since its requires_grad=False'


def matters(record: logging.LogRecord) -> bool:
    """Whether a message is for the screen."""
    message = record.getMessage().lstrip('-\n ')
    return not message.startswith(FILE_ONLY) and not message.endswith(FROZEN)


def _ignore(record: logging.LogRecord) -> None:
    """In place of ``Handler.handleError``."""


class FirstStepHook(Hook):
    """Says that a run has begun, of training, validation or testing."""

    def _after_iter(self, *args, **kwargs) -> None:
        note_first_step()


class ProgressHook(Hook):
    """One line in place of MMEngine's: how far, how fast, and what each level has recovered.

    The share of a level's energy is 1 minus its loss, which is 1 where nothing is predicted. It is
    shown where coefficients are normalized.
    """

    #: Of images per second and of the losses, the weight of a step.
    SMOOTHING = 0.02
    priority = 'LOW'

    def __init__(self) -> None:
        self._means: dict[str, float] = {}
        self.began = False

    def before_train(self, runner: Runner) -> None:
        """Keep what belongs to single steps from the screen; the log file has it."""
        for handler in runner.logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(_is_no_step)
        self.began = True
        self._progress = Progress('pre-training')
        self._before = time.perf_counter()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs: dict | None = None
    ) -> None:
        """Redraw the line."""
        now = time.perf_counter()
        found = {'seconds': now - self._before}
        self._before = now
        losses = {name: value for name, value in (outputs or {}).items() if 'loss' in name}
        found |= {name: float(value.detach()) for name, value in losses.items()}
        for name, value in found.items():
            mean = self._means.setdefault(name, value)
            # Of the first steps the plain mean.
            share = max(self.SMOOTHING, 1 / (runner.iter + 1))
            self._means[name] = mean + share * (value - mean)
        self._progress.show((runner.iter + 1) / runner.max_iters, self._note(runner))

    def after_train(self, runner: Runner) -> None:
        """Leave the last line; where nothing was left to train, there is none."""
        if self._means:
            self._progress.done(self._note(runner))

    def _note(self, runner: Runner) -> str:
        loader: Any = runner.train_dataloader
        speed = f'{loader.batch_size / self._means["seconds"]:,.0f} images/s'
        model: Any = runner.model
        targets: Any = getattr(model, 'target_generator', None)
        if getattr(targets, 'norm', 'none') == 'none':
            return f'{speed}, loss {self._means["loss"]:.3f}'
        shares = (
            f'{level}: {max(0, 1 - self._means[f"loss_level{level}"] / weight):.0%}'
            for level, weight in model.head.counted.items()
        )
        return f'{speed}, recovered of level {", ".join(shares)}'


def _is_no_step(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(('Epoch(', 'Iter(', 'Saving checkpoint', 'Exp name'))


def quiet(logger: MMLogger) -> MMLogger:
    """Let a logger put on the screen only the messages that matter."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            # On a full disk every line would put a traceback on the screen.
            handler.handleError = _ignore  # type: ignore[method-assign]
        else:
            handler.addFilter(matters)
    return logger


class QuietRunner(Runner):
    """MMEngine's Runner with a shorter screen, and schedules that know fractions of epochs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_recomputed(self.model, self.cfg.get('activation_checkpointing'))

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """MMEngine's logger; messages that are for files only are written to files only."""
        return quiet(super().build_logger(*args, **kwargs))

    def _build_param_scheduler(self, scheduler, optim_wrapper):
        # Only here is known how many iterations an epoch has.
        parts, warnings = in_iterations(
            scheduler, len(self.train_dataloader), self.max_epochs, self.max_iters
        )
        for warning in warnings:
            self.logger.warning(warning)
        return super()._build_param_scheduler(parts, optim_wrapper)
