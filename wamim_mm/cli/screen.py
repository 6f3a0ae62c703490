"""A run prints only the messages that matter; its log file has all of them."""

import logging

from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from .errors import note_first_step
from .schedule import in_iterations

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


class QuietRunner(Runner):
    """MMEngine's Runner with a shorter screen, and schedules that know fractions of epochs."""

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """MMEngine's logger; messages that are for files only are written to files only."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                # On a full disk every line would put a traceback on the screen.
                handler.handleError = _ignore  # type: ignore[method-assign]
            else:
                handler.addFilter(matters)
        return logger

    def _build_param_scheduler(self, scheduler, optim_wrapper):
        # Only here is known how many iterations an epoch has.
        parts, left_out = in_iterations(
            scheduler, len(self.train_dataloader), self.max_epochs, self.max_iters
        )
        if left_out:
            self.logger.warning(f'too short in this run, and left out: {", ".join(left_out)}')
        return super()._build_param_scheduler(parts, optim_wrapper)
