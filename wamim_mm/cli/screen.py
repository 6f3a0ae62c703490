"""The screen of a run starts with what matters; its log file has everything."""

import logging

from mmengine.logging import MMLogger
from mmengine.runner import Runner

#: How the messages of MMEngine begin that are for the file only: its account of the machine and of
#: its hooks, the whole config (which lies beside the log, too), what it says of every parameter,
#: and what it says of its own old names.
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
#: How the one for each frozen parameter ends.
FROZEN = 'is skipped since its requires_grad=False'


def matters(record: logging.LogRecord) -> bool:
    """Whether a message is for the screen."""
    message = record.getMessage().lstrip('-\n ')
    return not message.startswith(FILE_ONLY) and not message.endswith(FROZEN)


class QuietRunner(Runner):
    """MMEngine's Runner with a shorter screen."""

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """MMEngine's logger; all but files are spared what is for files only."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(matters)
        return logger
