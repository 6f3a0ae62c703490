"""MMEngine's DeepSpeedStrategy imports optimizers that DeepSpeed 0.19 does not have any more."""

import functools


def install() -> None:
    """Register those that are there; calling it again is harmless."""
    from mmengine._strategy import deepspeed as strategy
    from mmengine.registry import OPTIMIZERS

    register = strategy.register_deepspeed_optimizers
    if hasattr(register, '__wrapped__'):
        return

    @functools.wraps(register)
    def register_what_is_there() -> list[str]:
        try:
            names: list[str] = register()
        except ModuleNotFoundError as error:
            if 'onebit' not in str(error.name):
                raise
            from deepspeed.ops.adam import DeepSpeedCPUAdam, FusedAdam
            from deepspeed.ops.lamb import FusedLamb

            optimizers = (DeepSpeedCPUAdam, FusedAdam, FusedLamb)
            for optimizer in optimizers:
                OPTIMIZERS.register_module(module=optimizer, force=True)
            names = [optimizer.__name__ for optimizer in optimizers]
        return names

    strategy.register_deepspeed_optimizers = register_what_is_there
