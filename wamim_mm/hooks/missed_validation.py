"""A run that was cut off while it validated has its score all the same."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner


@HOOKS.register_module()
class MissedValidationHook(Hook):
    """Validate before the first step where a resumed run's checkpoint is followed by a validation.

    MMEngine saves, validates, and goes on with the next epoch when it is resumed: a validation that
    was cut off is missing, and with it the score of that epoch and the best checkpoint, of the
    last epoch for good. A checkpoint does not say whether its validation came to an end, so that
    this may repeat one, with the same scores.
    """

    priority = 'LOWEST'  # CheckpointHook has found its files, and EMAHook its weights

    def before_train(self, runner: Runner) -> None:
        """Validate, if the run would have done so next."""
        if runner._resume and runner.val_loop is not None and _is_due(runner):
            runner.logger.info('--resume: validating the checkpoint, as the run would have next')
            runner.val_loop.run()


def _is_due(runner: Runner) -> bool:
    """Whether the training loop validates where it is, between two steps."""
    loop = runner.train_loop
    if isinstance(loop, IterBasedTrainLoop):
        place, length = runner.iter, loop.max_iters
    elif isinstance(loop, EpochBasedTrainLoop):
        place, length = runner.epoch, loop.max_epochs
        if runner.iter != place * len(loop.dataloader):  # inside an epoch
            return False
    else:
        return False
    if not loop.val_begin <= place <= length:
        return False
    loop._decide_current_val_interval()
    return place == length or place % loop.val_interval == 0
