"""Models that do not fit: parameters, gradients and optimizer states in parts, one per process."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from mmcv.cnn import is_norm
from mmengine._strategy import DDPStrategy
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_main_process
from mmengine.optim import OptimWrapperDict
from mmengine.registry import STRATEGIES
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map_only

from ..class_names import short_name
from ..ops.sharding import whole

#: Ends of the names of classes that are a block of a network: ViT's `TransformerEncoderLayer`,
#: `SwinBlock`, ResNet's `Bottleneck`.
BLOCKS = ('EncoderLayer', 'Block', 'Bottleneck')
ALONE = 'a process cannot run a sharded model by itself'


@STRATEGIES.register_module()
class FSDP2Strategy(DDPStrategy):
    """Shard a model with torch's `fully_shard`, block by block.

    Every process holds its part of the parameters, of the gradients and of the optimizer's states,
    and takes the steps that DDP takes. A block's parameters are gathered while it computes; what is
    outside of blocks is gathered for the whole step. In mixed precision, blocks are gathered in
    that type, gradients are added up in float32, and the optimizer sees float32 alone. It
    validates in mixed precision too.

    A checkpoint is an ordinary one, whole, written by the first process: every command reads it,
    and a run goes on from it under DDP, on another number of processes, and back.

    Args:
        blocks: Ends of the names of the classes that are gathered one by one.
        kwargs: Of MMEngine's `DDPStrategy`.

    Raises:
        ValueError: There is one process alone, or the model has no such block.
    """

    #: Hooks and keys of a config that do not work with it, and why.
    refused: ClassVar = {
        'EMAHook': 'a sharded model cannot be copied; leave it out',
        'CompileHook': 'its graphs would hold the gathering of blocks; leave it out',
        'compile': 'its graph would hold the gathering of blocks; leave it out',
        'PicturesHook': f'{ALONE}; draw its checkpoints with wamim reconstruct',
        'ProbeHook': f'{ALONE}; score its checkpoints with wamim probe',
    }

    def __init__(self, *, blocks: Sequence[str] = BLOCKS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not self.distributed or get_world_size() == 1:
            raise ValueError(
                'strategy.type=FSDP2Strategy: there is one process alone, and nothing to shard; '
                'start several with tools/dist_train.sh CONFIG GPUS, or leave the strategy out'
            )
        self.blocks = tuple(blocks)
        self._dtype: torch.dtype | None = None

    def prepare(self, model: Any, *, optim_wrapper: Any = None, **kwargs: Any) -> Any:
        """Build, initialize and shard the model; then build its optimizer and schedules."""
        self._dtype = autocast_dtype(optim_wrapper or {})
        return super().prepare(model, optim_wrapper=optim_wrapper, **kwargs)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        model = self.convert_model(model)
        blocks = [
            module for module in model.modules() if type(module).__name__.endswith(self.blocks)
        ]
        if not blocks:
            raise ValueError(
                f'strategy.type=FSDP2Strategy: no part of {type(model).__name__} has a class whose '
                f'name ends in {" or ".join(self.blocks)}; name those of its blocks in '
                'strategy.blocks'
            )
        mesh = init_device_mesh(get_device(), (get_world_size(),))
        policy = MixedPrecisionPolicy(
            param_dtype=self._dtype,
            reduce_dtype=torch.float32,
            cast_forward_inputs=False,  # autocast does it where it is needed
        )
        for block in reversed(blocks):  # inner ones first
            norms = [
                part
                for part in block.modules()
                if is_norm(part) and not isinstance(part, FSDPModule)  # of an inner block
            ]
            if norms and self._dtype is not None:
                fully_shard(norms, mesh=mesh)  # in float32, as autocast has them
            fully_shard(block, mesh=mesh, mp_policy=policy)
        fully_shard(model, mesh=mesh)
        if self._dtype is not None:  # MMEngine validates in float32, which blocks are not
            autocast = torch.autocast(torch.device(get_device()).type, self._dtype)
            model.val_step = autocast(model.val_step)
        # Parameters are there already, buffers are not.
        return model.to(get_device())

    def build_optim_wrapper(self, optim_wrapper: Any, model: nn.Module | None = None) -> Any:
        """Build the optimizer of the sharded parameters.

        Raises:
            ValueError: There are several.
        """
        built = super().build_optim_wrapper(optim_wrapper, model)
        if isinstance(built, OptimWrapperDict):
            raise ValueError(
                'strategy.type=FSDP2Strategy: it trains with one optimizer, and optim_wrapper has '
                f'{len(built)}; leave the strategy out'
            )
        return built

    def model_state_dict(self) -> dict:
        """The whole model's tensors on the CPU, in the first process; all must ask."""
        state = self.model.state_dict()
        state.update((name, _gathered(tensor)) for name, tensor in [*state.items()])
        return state

    def optim_state_dict(self) -> dict:
        """The whole optimizer's state, as `OptimWrapper.state_dict` has it, in the same way."""
        return tree_map_only(Tensor, _gathered, self.optim_wrapper.state_dict())

    def save_checkpoint(self, filename: str, *, save_optimizer: bool = True, **kwargs: Any) -> None:
        """Write an ordinary checkpoint; all processes must ask, and the first one writes it."""
        if is_main_process():
            super().save_checkpoint(filename, save_optimizer=save_optimizer, **kwargs)
            return
        # It gathers these two, in this order.
        self.model_state_dict()
        if save_optimizer and hasattr(self, 'optim_wrapper'):
            self.optim_state_dict()

    def load_checkpoint(self, filename: str, *, map_location: Any = 'cpu', **kwargs: Any) -> dict:
        """Read an ordinary checkpoint; no device holds the whole of it."""
        return super().load_checkpoint(filename, map_location='cpu', **kwargs)

    def load_model_state_dict(self, state_dict: dict, **kwargs: Any) -> None:
        """Load the tensors of an ordinary checkpoint, each process its part.

        Raises:
            ValueError: A tensor has another shape than the model's.
        """
        ours = self.model.state_dict()
        parts = {}
        for key, tensor in state_dict.items():
            name = key.removeprefix('module.')
            if name in ours and ours[name].shape != tensor.shape:
                raise ValueError(
                    f'strategy.type=FSDP2Strategy: {name} is {tuple(tensor.shape)} in the '
                    f'checkpoint and {tuple(ours[name].shape)} in the model; take the image and '
                    'window size that it was trained with, or leave the strategy out'
                )
            parts[name] = _sharded(tensor, ours.get(name))
        super().load_model_state_dict(parts, **kwargs)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load the optimizer's state of an ordinary checkpoint, each process its part."""
        groups = self.optim_wrapper.optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group['params']]
        numbers = [number for group in state_dict['param_groups'] for number in group['params']]
        states = dict(state_dict['state'])
        for number, parameter in zip(numbers, parameters, strict=True):
            if number in states:
                states[number] = {
                    key: _sharded(value, parameter) for key, value in states[number].items()
                }
        super().load_optim_state_dict({**state_dict, 'state': states})


def autocast_dtype(optim_wrapper: Any) -> torch.dtype | None:
    """The type in which an optimizer wrapper's config lets a model compute; None for its own."""
    if not short_name(optim_wrapper).endswith('AmpOptimWrapper'):
        return None
    given = optim_wrapper.get('dtype')
    return getattr(torch, given) if given else torch.get_autocast_dtype(get_device())


def _gathered(tensor: Tensor) -> Tensor | None:
    """The whole tensor on the CPU, in the first process."""
    found = whole(tensor)
    return found.cpu() if is_main_process() else None


def _sharded(value: Any, like: Tensor | None) -> Any:
    """A whole tensor in parts like those of another; what has another shape stays as it is."""
    if not isinstance(like, DTensor) or getattr(value, 'shape', None) != like.shape:
        return value
    return distribute_tensor(value, like.device_mesh, like.placements)
