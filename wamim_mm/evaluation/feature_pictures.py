"""Pictures of an encoder's features: what they tell apart, and what it attends to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmpretrain.models import VisionTransformer
from torch import Tensor
from torch.nn import functional as F

from ..data.images import train_pipeline
from ..models.features import feature_maps
from .linear_probe import build_encoder
from .models import load_encoder
from .reconstructions import Row, as_pictures, draw, read_some

__all__ = ['draw_features', 'principal_components', 'received_attention']


def draw_features(
    cfg: Config,
    checkpoint: str,
    paths: Sequence[Path | str],
    out: Path,
    count: int = 4,
    seed: int = 0,
) -> None:
    """Draw a row for each image; `cli.features` says what it shows.

    Args:
        cfg: A config of mmpretrain, of pre-training or of a classifier.
        checkpoint: Weights of its model.
        paths: Images.
        out: The picture's file.
        count: How many images are drawn, chosen at random.
        seed: Of the choice.

    Raises:
        ValueError: The checkpoint does not fit the config's model, the encoder yields no feature
            maps, images and model differ in their number of channels, or no image can be read.
    """
    MMLogger.get_current_instance().setLevel('WARNING')
    model = build_encoder(cfg, 0).eval()
    load_encoder(model, checkpoint)
    order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(seed)).tolist()
    inputs = read_some(model, paths, order, count, train_pipeline(cfg))
    with torch.no_grad():
        maps, attention = _run(model, inputs)
    size = inputs.shape[-2:]
    row: Row = {title: part.cpu() for title, part in as_pictures(model, dict(image=inputs)).items()}
    backbone = model.backbone
    kind = 'block' if hasattr(backbone, 'layers') else 'stage'
    for place, features in zip(backbone.out_indices, maps, strict=True):
        row[f'{kind} {place + 1}'] = _enlarged(principal_components(features.float().cpu()), size)
    if attention is not None:
        row['attention'] = _enlarged(attention.float().cpu(), size)
    draw([row], out)


def principal_components(features: Tensor) -> Tensor:
    """The three directions in which features differ most, as red, green and blue.

    Args:
        features: ``(N, C, h, w)``; the directions are those of all images together, so that a
            colour means the same in each.

    Returns:
        ``(N, 3, h, w)`` in 0 to 1, from the 1st to the 99th percentile.
    """
    count, channels, height, width = features.shape
    points = features.permute(0, 2, 3, 1).reshape(-1, channels).double()
    points = points - points.mean(0)
    _, directions = torch.linalg.eigh(points.T @ points)
    directions = directions[:, -3:].flip(1)
    # An eigenvector has no sign of its own: its largest part is made positive.
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    found = points @ (directions * largest.sign())
    low, high = (found.quantile(share, dim=0) for share in (0.01, 0.99))
    found = ((found - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    return found.view(count, height, width, -1).permute(0, 3, 1, 2).float()


def received_attention(tokens: Tensor, attention: Any, grid: tuple[int, int]) -> Tensor:
    """How much the patches attend to each patch.

    Args:
        tokens: ``(N, 1 + h * w, C)`` or ``(N, h * w, C)``, what a ViT's attention is given.
        attention: mmpretrain's ``MultiheadAttention``.
        grid: ``(h, w)``.

    Returns:
        ``(N, 1, h, w)``, the mean over heads and patches, divided by each image's largest.
    """
    batch, length, _ = tokens.shape
    qkv = attention.qkv(tokens).view(batch, length, 3, attention.num_heads, -1)
    query, key = qkv[:, :, 0].transpose(1, 2), qkv[:, :, 1].transpose(1, 2)
    weights = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(-1)
    patches = slice(length - grid[0] * grid[1], None)
    received = weights[:, :, patches, patches].mean((1, 2))
    received = received / received.amax(1, keepdim=True)
    return received.view(batch, 1, *grid)


def _run(model: BaseModel, inputs: Tensor) -> tuple[list[Tensor], Tensor | None]:
    """Feature maps and, of a ViT, the attention of the last block."""
    backbone, given = model.backbone, []
    if isinstance(backbone, VisionTransformer):
        hook = backbone.layers[-1].attn.register_forward_pre_hook(
            lambda module, args: given.append(args[0])
        )
    maps = feature_maps(model, inputs)
    if any(features.ndim != 4 for features in maps):
        raise ValueError(f'{type(backbone).__name__} yields no feature maps, which features draws')
    if not given:
        return maps, None
    hook.remove()
    height, width = maps[-1].shape[-2:]
    attention = received_attention(given[0], backbone.layers[-1].attn, (height, width))
    return maps, attention


def _enlarged(pictures: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(pictures, size=tuple(size), mode='nearest')
