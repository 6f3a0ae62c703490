"""A run prints only the messages that matter; its log file has all of them."""

import logging

from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from .errors import note_first_step

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


class FirstStepHook(Hook):
    """Says that a run has begun, of training, validation or testing."""

    def _after_iter(self, *args, **kwargs) -> None:
        note_first_step()


class QuietRunner(Runner):
    """MMEngine's Runner with a shorter screen."""

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """MMEngine's logger; messages that are for files only are written to files only."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(matters)
        return logger
