"""Weights that are not finite are never saved over good ones."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.distributed.fsdp import FSDPModule

from ..model_wrappers import unwrapped
from .finite_steps import REMEDY


@HOOKS.register_module()
class FiniteWeightsHook(Hook):
    """Stop a run before it saves parameters or running statistics that are NaN or infinite.

    MMEngine saves them, and removes the last good checkpoint for them. Other buffers may be
    infinite, as masks of attention are, but not NaN.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Look at what is saved of the model.

        Raises:
            FloatingPointError: Some are not finite.
        """
        model = unwrapped(runner.model)
        parameters = dict(model.named_parameters())
        # Of a sharded model the checkpoint alone is whole.
        sharded = isinstance(model, FSDPModule)
        weights = checkpoint['state_dict'] if sharded else model.state_dict()
        bad = [
            name
            for name, weight in weights.items()
            if weight.isnan().any()
            or (
                (name in parameters or name.endswith(('running_mean', 'running_var')))
                and weight.isinf().any()
            )
        ]
        if bad:
            raise FloatingPointError(
                f'by iteration {runner.iter} {len(bad)} weights are not finite '
                f'({", ".join(bad[:3])}, ...), so nothing is saved: the last checkpoint in '
                f'{runner.work_dir} is good; go on from it by --resume, {REMEDY}'
            )
