"""MMEngine's FlexibleRunner, which a config's ``strategy`` asks for, as complete as its Runner."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from mmengine._strategy import BaseStrategy
from mmengine.config import Config
from mmengine.fileio import join_path
from mmengine.registry import RUNNERS
from mmengine.runner import FlexibleRunner, Runner
from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing
from mmengine.runner.utils import _get_batch_size
from torch import nn

from ..class_names import short_name
from .deepspeed import by_deepspeed, use_deepspeed
from .schedule import in_iterations
from .screen import QuietRunner, quiet
from .settings import check_recomputed

#: MMEngine's strategies that are the engines of other packages.
PACKAGES = {'DeepSpeedStrategy': 'deepspeed', 'ColossalAIStrategy': 'colossalai'}
OF_SEVERAL = (*PACKAGES, 'DDPStrategy', 'FSDP2Strategy')


def make_runner(cfg: Config, trains: bool) -> Runner | FlexibleRunner:
    """The runner of a config: with a ``strategy``, a FlexibleRunner.

    Args:
        cfg: The config.
        trains: Whether the job trains. Others need no strategy, as a checkpoint is whole.

    Raises:
        ImportError: The strategy is the engine of a package that is not installed.
        ValueError: It is no strategy for these processes, or for the config's optimizer.
    """
    strategy = cfg.get('strategy')
    kind = cfg.get('runner_type', 'FlexibleRunner' if strategy else 'Runner')
    if kind not in ('Runner', 'FlexibleRunner'):
        return RUNNERS.build(cfg)
    if kind == 'Runner' or not trains:
        return QuietRunner.from_cfg(cfg)
    if strategy:
        check_strategy(strategy, cfg.get('launcher') or 'none')
        if by_deepspeed(cfg):
            use_deepspeed(cfg)
    cfg.setdefault('env_cfg', {})
    return QuietFlexibleRunner.from_cfg(cfg)


def check_strategy(strategy: dict, launcher: str) -> None:
    """Refuse a strategy that cannot work here.

    Args:
        strategy: The config's.
        launcher: What has started this process; ``'none'`` for one process alone.

    Raises:
        ImportError: It is the engine of a package that is not installed.
        ValueError: It has no type, is of FSDP's first version, or of another number of processes.
    """
    name = short_name(strategy)
    if not name:
        raise ValueError('strategy: it has no type; set strategy.type=FSDP2Strategy')
    package = PACKAGES.get(name)
    if package and find_spec(package) is None:
        raise ImportError(
            f'strategy.type={name}: {package} is not installed; pip install {package}, or set '
            'strategy.type=FSDP2Strategy, which needs nothing but torch'
        )
    if name == 'FSDPStrategy':
        raise ValueError(
            "strategy.type=FSDPStrategy: it is of FSDP's first version, whose flattened parameters "
            'our checks and checkpoints cannot read; set strategy.type=FSDP2Strategy'
        )
    if launcher == 'none' and name in OF_SEVERAL:
        raise ValueError(
            f'strategy.type={name}: there is one process alone; start several with '
            'tools/dist_train.sh CONFIG GPUS, or leave the strategy out'
        )
    if launcher != 'none' and name == 'SingleDeviceStrategy':
        raise ValueError(
            f'strategy.type={name}: each of the processes of --launcher {launcher} would train a '
            'model of its own; set strategy.type=FSDP2Strategy, or leave the strategy out'
        )


class QuietFlexibleRunner(FlexibleRunner):
    """MMEngine's FlexibleRunner with what MMEngine's Runner and our `QuietRunner` have.

    MMEngine's own leaves out ``activation_checkpointing`` and ``compile`` of a config, and builds
    its model when hooks and checks have asked for it already.
    """

    model: nn.Module
    # Configs until it trains.
    optim_wrapper: Any
    param_schedulers: Any
    _train_loop: Any
    _val_loop: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model = self.strategy.build_model(self.model)
        modules = self.cfg.get('activation_checkpointing')
        check_recomputed(self.model, modules)
        if modules is not None:
            turn_on_activation_checkpointing(self.model, modules)

    def build_strategy(self, *args: Any, **kwargs: Any) -> BaseStrategy:
        """MMEngine's, with a shorter screen."""
        strategy = super().build_strategy(*args, **kwargs)
        quiet(strategy.logger)
        return strategy

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """MMEngine's, but a caller that says which epoch and iteration were reached is believed.

        CheckpointHook says so where it saves after a validation, when the epoch is counted already.
        """
        place = dict(epoch=self.epoch + by_epoch, iter=self.iter + (not by_epoch))
        checkpoint = dict(
            meta=place
            | (meta or {})
            | dict(cfg=self.cfg.pretty_text, experiment_name=self.experiment_name),
            message_hub=self.message_hub.state_dict(),
        )
        if hasattr(self.train_dataloader.dataset, 'metainfo'):
            checkpoint['meta']['dataset_meta'] = self.train_dataloader.dataset.metainfo
        self.strategy.save_checkpoint(
            filename=str(
                join_path(out_dir, filename, backend_args=backend_args or file_client_args)
            ),
            save_optimizer=save_optimizer,
            save_param_scheduler=save_param_scheduler,
            extra_ckpt=checkpoint,
            callback=lambda checkpoint: self.call_hook(
                'before_save_checkpoint', checkpoint=checkpoint
            ),
        )

    def train(self) -> nn.Module:
        """Train, in the order of MMEngine's Runner.

        Raises:
            ValueError: A hook, or ``compile``, does not work with the strategy.
        """
        refused = getattr(self.strategy, 'refused', {})
        for name in (base.__name__ for hook in self.hooks for base in type(hook).__mro__):
            if name in refused:
                raise ValueError(
                    f'{name} does not work with strategy.type={type(self.strategy).__name__}: '
                    f'{refused[name]}'
                )
        compiled = self.cfg.get('compile', False)
        if compiled and 'compile' in refused:
            raise ValueError(
                f'compile does not work with strategy.type={type(self.strategy).__name__}: '
                f'{refused["compile"]}'
            )
        self._train_loop = self.build_train_loop(self._train_loop)
        if self._val_loop is not None:
            self._val_loop = self.build_val_loop(self._val_loop)
        length = len(self.train_dataloader)
        if self.param_schedulers is not None:
            self.param_schedulers, warnings = in_iterations(
                self.param_schedulers, length, self.max_epochs, self.max_iters
            )
            for warning in warnings:
                self.logger.warning(warning)
        self.call_hook('before_run')
        self.strategy.prepare(
            self.model,
            optim_wrapper=self.optim_wrapper,
            param_scheduler=self.param_schedulers,
            compile=dict(target='train_step') if compiled is True else compiled,
            dispatch_kwargs=dict(
                epoch_length=length,
                max_epochs=self.max_epochs,
                max_iters=self.max_iters,
                train_micro_batch_size_per_gpu=_get_batch_size(self.train_dataloader),
            ),
        )
        self.model = self.strategy.model
        self.optim_wrapper = self.strategy.optim_wrapper
        if self.param_schedulers is not None:
            self.param_schedulers = self.strategy.param_schedulers
        self.load_or_resume()
        model = self.train_loop.run()
        self.call_hook('after_run')
        return model
