"""Position embeddings on their way from one grid of patches to another.

A checkpoint holds an embedding as a list of tokens. Hosts take the list for a square, and copy it
as it is where the number of tokens fits: then an embedding of 4 x 8 patches lies in the wrong order
on 8 x 4. So both grids are looked up, and the embedding is resized before a host sees it.
"""

import math
from collections.abc import Collection
from typing import Any, NamedTuple

from mmpretrain.models.utils import resize_pos_embed
from torch import Tensor, nn

from ..saved_config import backbone_config

Grid = tuple[int, int]

#: Of ViTs, and of Swins with absolute positions.
NAMES = ('pos_embed', 'absolute_pos_embed')
#: What stands before the patches in an embedding, where the checkpoint has it.
EXTRA_TOKENS = ('cls_token', 'dist_token')
#: Without `img_size` in its config, a backbone of any host was built for it.
DEFAULT_SIZE = 224


class GridChange(NamedTuple):
    """An embedding and its two grids, each (rows, columns).

    Attributes:
        name: The tensor's name in the backbone.
        extra: Tokens before the patches.
        source: The grid in the checkpoint; None if it is not known.
        target: The grid in the backbone.
    """

    name: str
    extra: int
    source: Grid | None
    target: Grid

    @property
    def sizes(self) -> str:
        """From which grid to which, for a message."""
        source = 'an unknown grid' if self.source is None else _by(self.source)
        return f'{source} to {_by(self.target)}'

    def resized(self, embedding: Tensor, backbone: nn.Module) -> Tensor:
        """The ``(1, L, C)`` embedding on the target's grid, as the backbone's host resizes it."""
        mode = getattr(backbone, 'interpolate_mode', 'bicubic')
        return resize_pos_embed(embedding, self.source, self.target, mode, self.extra)


def compare_grids(
    backbone: nn.Module, theirs: dict[str, Tensor], checkpoint: dict
) -> GridChange | None:
    """The grids of the backbone's position embedding and of the checkpoint's.

    The checkpoint's is that of its own config (``meta.cfg``), or else a square.

    Args:
        backbone: The backbone of any host.
        theirs: The checkpoint's tensors under the backbone's names.
        checkpoint: The whole checkpoint.

    Returns:
        None if there is nothing to compare: no embedding, or one that is computed in another way.
    """
    for name in NAMES:
        target = _own_grid(backbone, name)
        if target is not None and name in theirs and theirs[name].ndim == 3:
            extra = _extra_tokens(name, theirs)
            source = _stored_grid(theirs, checkpoint, theirs[name].shape[1] - extra)
            return GridChange(name, extra, source, target)
    return None


def check_grid(backbone: nn.Module, checkpoint: dict) -> None:
    """Raise ValueError if the backbone's position embedding is on another grid in a checkpoint.

    Args:
        backbone: The backbone of any host.
        checkpoint: One of the whole model. If it does not say its grid, its shape is taken for it.
    """
    change = compare_grids(backbone, backbone_tensors(checkpoint), checkpoint)
    if change is not None and change.source not in (None, change.target):
        raise ValueError(
            f'the checkpoint does not fit the model: backbone.{change.name} would have to be '
            f'resized from {change.sizes} patches; set model.backbone.img_size as in the '
            "checkpoint's config"
        )


def backbone_tensors(checkpoint: dict) -> dict[str, Tensor]:
    """The tensors of ``backbone.*`` in a checkpoint of a whole model, without that prefix."""
    state = checkpoint.get('state_dict', checkpoint)
    names = {name.removeprefix('module.'): name for name in state}
    return {
        name.removeprefix('backbone.'): state[key]
        for name, key in names.items()
        if name.startswith('backbone.')
    }


def _own_grid(backbone: Any, name: str) -> Grid | None:
    own = getattr(backbone, name, None)
    if own is None:
        return None
    if hasattr(backbone, 'patch_resolution'):  # mmpretrain
        rows, columns = backbone.patch_resolution
    elif hasattr(backbone, 'img_size') and hasattr(backbone, 'patch_size'):  # mmseg
        rows, columns = (side // backbone.patch_size for side in backbone.img_size)
    else:
        return None
    fits = own.shape[1] - rows * columns in range(len(EXTRA_TOKENS) + 1)
    return (rows, columns) if fits else None


def _extra_tokens(name: str, theirs: Collection[str]) -> int:
    return sum(token in theirs for token in EXTRA_TOKENS) if name == 'pos_embed' else 0


def _stored_grid(theirs: dict[str, Tensor], checkpoint: dict, length: int) -> Grid | None:
    grids = [(math.isqrt(length), math.isqrt(length))]
    try:
        _, args = backbone_config(checkpoint['meta']['cfg'])
        size = args.get('img_size', DEFAULT_SIZE)
        height, width = (size, size) if isinstance(size, int) else (size[0], size[-1])
        rows, columns = theirs['patch_embed.projection.weight'].shape[2:]
        # mmpretrain pads an image to whole patches, mmseg cuts it.
        grids[:0] = [(-(-height // rows), -(-width // columns)), (height // rows, width // columns)]
    except (AttributeError, KeyError, TypeError, ValueError):
        pass  # no config, or none of such a backbone
    return next((grid for grid in grids if math.prod(grid) == length), None)


def _by(grid: Grid) -> str:
    return f'{grid[0]} x {grid[1]}'
