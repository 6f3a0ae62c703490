"""A checkpoint must belong to the model that it is loaded into."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Refuse a checkpoint of another architecture, where MMEngine warns and goes on.

    Args:
        strict: Every tensor of the model must be there in its shape, as in resuming and testing.
            Otherwise half of the backbone's are enough: fine-tuning (``load_from``) leaves heads
            out, and position embeddings may be resized.
    """

    def __init__(self, strict: bool) -> None:
        self.strict = strict

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the tensors.

        Raises:
            ValueError: They do not fit; the message counts and names them.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        ours = {name: tensor.shape for name, tensor in model.state_dict().items()}
        state = checkpoint.get('state_dict', checkpoint)
        theirs = {
            name.removeprefix('module.'): tensor.shape
            for name, tensor in state.items()
            if hasattr(tensor, 'shape')
        }
        missing = [name for name in ours if name not in theirs]
        reshaped = [name for name in ours if name in theirs and theirs[name] != ours[name]]
        misfits = {*missing, *reshaped}
        core = [name for name in ours if name.startswith('backbone.')] or list(ours)
        too_few = sum(name in misfits for name in core) > len(core) / 2
        if too_few or (self.strict and misfits):
            examples = [f'{name} is missing' for name in missing[:3]]
            examples += [
                f'{name} is {tuple(theirs[name])} in the checkpoint and {tuple(ours[name])} in the '
                'model'
                for name in reshaped[:3]
            ]
            raise ValueError(
                f'the checkpoint does not fit the model: of {len(ours)} tensors {len(missing)} are '
                f'missing and {len(reshaped)} have another shape ({"; ".join(examples)}); '
                'use the config that the checkpoint was trained with'
            )
