"""Is it learning? One plain sentence, once, for each thing that looks wrong."""

from typing import Any

from mmengine.dist import get_world_size, master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from ..model_wrappers import unwrapped
from ..models import MFM, WaMIM
from ..models.features import mean_features, whole_model

#: A loss of level from here on is that of predicting zero, with the noise of a few hundred steps.
NOTHING = 0.99
#: Steps between two looks in short runs: in fewer, chance and the warm-up are all there is to see.
FEWEST_STEPS = 50
#: Of a batch, so many images' features are compared.
IMAGES = 64
#: Of features. Healthy encoders have 0.1 to 0.7 in docs/study.md's runs, and 0.006 where images are
#: much alike; with a learning rate that is too high by far it falls to 0.0002 and less.
LEAST_SPREAD = 0.001


@HOOKS.register_module()
class HealthHook(Hook):
    """Warns of a run that does not learn. It changes no step.

    It warns where the batch is not the recipe's and the learning rate was not scaled. In
    pre-training by WaMIM and MFM it warns where a level of WaMIM's targets is predicted no better
    than by nothing, or another loss has not fallen; and where the features of different images
    become alike, unless the model is sharded: a process cannot compute them alone. (Of losses and
    gradients that are not finite, `FiniteStepsHook` speaks.)

    Args:
        interval: Steps between two looks, at most a third of a run of 150 steps or more, and 50 in
            shorter ones. The first look is after two intervals.

    Raises:
        ValueError: The interval is not positive.
    """

    priority = 'LOW'

    def __init__(self, interval: int = 500) -> None:
        if interval < 1:
            raise ValueError(f'HealthHook: interval must be 1 or more, got {interval}')
        self.interval = interval
        self._said: set[str] = set()
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._first: dict[str, float] = {}
        self._resumed = False

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Hold the batch against the recipe's."""
        self._resumed = runner.iter > 0
        scale = runner.cfg.get('auto_scale_lr') or {}
        recipe = scale.get('base_batch_size')
        optimizer = runner.cfg.optim_wrapper.get('optimizer') or {}
        rate, sampler = optimizer.get('lr'), runner.train_dataloader.batch_sampler
        if not recipe or not rate or not hasattr(sampler, 'batch_size') or scale.get('enable'):
            return
        wrapper: Any = runner.optim_wrapper
        counts = getattr(wrapper, '_accumulative_counts', 1)
        strategy = runner.cfg.get('strategy') or {}
        counts *= strategy.get('gradient_accumulation_steps', 1)  # of DeepSpeed
        batch = sampler.batch_size * get_world_size() * counts
        if batch != recipe:
            runner.logger.warning(
                f'a step has {batch} images, and the learning rate {rate:g} is of a recipe with '
                f'{recipe}: --auto-scale-lr makes it {rate * batch / recipe:.3g}, unless you have '
                'set it for this batch'
            )

    @master_only
    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Tensor] | None = None,
    ) -> None:
        """Add up the losses; look at them, and at features of this batch, every so often."""
        model = _pretrained(runner)
        if model is None:
            return
        for name, value in (outputs or {}).items():
            if 'loss' in name:
                self._sums[name] = self._sums.get(name, 0) + value.detach()
        self._steps += 1
        if self._steps < min(self.interval, max(FEWEST_STEPS, runner.max_iters // 3)):
            return
        step = runner.iter + 1
        means = {name: float(value) / self._steps for name, value in self._sums.items()}
        if self._first:
            self._look_at_losses(runner, model, means, step)
            if whole_model(runner.model) is not None:
                self._look_at_features(runner, model, data_batch, step)
        self._first = self._first or means
        self._sums, self._steps = {}, 0

    def _look_at_losses(
        self, runner: Runner, model: WaMIM | MFM, means: dict[str, float], step: int
    ) -> None:
        levels = {}
        if isinstance(model, WaMIM) and model.target_generator.norm != 'none':
            pairs = model.head.counted.items()
            levels = {level: means[f'loss_level{level}'] / weight for level, weight in pairs}
        unlearned = {level: loss for level, loss in levels.items() if loss >= NOTHING}
        if unlearned:
            losses = ', '.join(f'{loss:.3f} of level {level}' for level, loss in unlearned.items())
            self._say(
                runner,
                'levels',
                f'after {step} steps some levels are predicted no better than by nothing, which '
                f'has a loss of 1: {losses}; look at what is reconstructed (wamim reconstruct), '
                'and change optim_wrapper.optimizer.lr, '
                f'{"down" if max(unlearned.values()) > 1.05 else "up where it is low"}',
            )
        # After a resume the first losses are not those of the beginning: they may stand still.
        before = None if self._resumed else self._first.get('loss')
        if not levels and before is not None and means['loss'] >= before:
            self._say(
                runner,
                'loss',
                f'after {step} steps the loss is {means["loss"]:.4g}, and was {before:.4g} in the '
                'first ones: it does not fall; change optim_wrapper.optimizer.lr, down '
                'where the loss jumps, up where it stands still',
            )

    def _look_at_features(
        self, runner: Runner, model: WaMIM | MFM, data_batch: Any, step: int
    ) -> None:
        batch = {key: data_batch[key][:IMAGES] for key in ('inputs', 'data_samples')}
        if len(batch['inputs']) < 2:
            return
        spread = feature_spread(mean_features(model, batch)[-1])
        if not spread >= LEAST_SPREAD:
            self._say(
                runner,
                'features',
                f'after {step} steps the features of different images are nearly the same: they '
                f'spread by {spread:.2g} of their size, healthy ones by 0.01 and more; lower '
                'optim_wrapper.optimizer.lr, and see that the images differ',
            )

    def _say(self, runner: Runner, about: str, sentence: str) -> None:
        if about not in self._said:
            self._said.add(about)
            runner.logger.warning(sentence)


def _pretrained(runner: Runner) -> WaMIM | MFM | None:
    """The run's model, sharded or not; None for other models."""
    model = unwrapped(runner.model)
    return model if isinstance(model, WaMIM | MFM) else None


def feature_spread(features: Tensor) -> float:
    """Mean squared distance of images' features from their mean, beside their mean square.

    Args:
        features: ``(N, C)``.

    Returns:
        0 where all images have the same features, 1 where their mean is zero.
    """
    features = features.float()
    apart = (features - features.mean(0)).square().mean()
    return float(apart / features.square().mean())
