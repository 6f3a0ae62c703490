"""Pictures of what a model makes of the same images, while it trains."""

from pathlib import Path

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from ..data.images import train_pipeline
from ..data.seeding import seeded
from ..data.shard_index import some_uris
from ..image_files import SUFFIXES, files_under, is_shards, spread
from ..models import MFM, WaMIM
from ..models.features import whole_model
from .reconstructions import as_array, read_some, rows_of

#: Images of shards among which those to draw are looked for.
DRAWN = 1000


@HOOKS.register_module()
class PicturesHook(Hook):
    """Give all of a run's visualizers a picture of the same images, under the same masks.

    What it shows: `cli.reconstruct`. The first process draws it, from the weights of the moment;
    the generators of the training are left as they are, so that a run with it takes the same steps.

    Args:
        images: A folder of images, sub-folders included, or tar shards; best ones that are not
            trained on.
        interval: Steps between two pictures; there is one before the first step, and one at the
            end.
        count: Images in a picture.

    Raises:
        FileNotFoundError: There is no image, at the start of the training.
        ValueError: The model is neither WaMIM nor MFM, at the same time.
    """

    priority = 'LOW'
    name = 'reconstruction'

    def __init__(self, images: str, interval: int = 1000, count: int = 4) -> None:
        if interval < 1 or count < 1:
            raise ValueError(
                f'PicturesHook: interval and count must be 1 or more, got {interval} and {count}'
            )
        self.images = images
        self.interval = interval
        self.count = count

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Read the images, and draw what the model makes of them before it has learned."""
        model = self._model(runner)
        paths = self._paths()
        if not paths:
            raise FileNotFoundError(f'PicturesHook: no image at {self.images!r}')
        # Spread over the folder, others where some cannot be read.
        order = list(dict.fromkeys([*spread(len(paths), self.count), *range(len(paths))]))
        like = train_pipeline(runner.cfg)
        self._inputs: Tensor = read_some(model, paths, order, self.count, like)
        self._draw(runner, runner.iter)

    @master_only
    def after_train_iter(self, runner: Runner, batch_idx: int, *args, **kwargs) -> None:
        """Draw, every so often."""
        if self.every_n_train_iters(runner, self.interval):
            self._draw(runner, runner.iter + 1)

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Draw the last picture."""
        if runner.iter % self.interval:
            self._draw(runner, runner.iter)

    def _paths(self) -> list[Path | str]:
        if is_shards(self.images):
            return [*some_uris(self.images, DRAWN)[1]]
        root = Path(self.images)
        files = [root] if root.is_file() else sorted(files_under(root))
        images = [path for path in files if path.suffix.lower() in SUFFIXES]
        return [*(images or files)]

    def _model(self, runner: Runner) -> WaMIM | MFM:
        model = whole_model(runner.model)
        if model is None:
            raise ValueError(
                f'PicturesHook: {type(runner.model).__name__} reconstructs nothing, WaMIM and MFM '
                'do, whole on one process'
            )
        return model

    @torch.no_grad()
    def _draw(self, runner: Runner, step: int) -> None:
        model = self._model(runner)
        training = model.training
        model.eval()
        device = self._inputs.device
        with seeded(0), torch.random.fork_rng([device] if device.type == 'cuda' else []):
            torch.manual_seed(0)
            rows = rows_of(model, self._inputs)
        model.train(training)
        runner.visualizer.add_image(self.name, as_array(rows), step=step)
