"""A vector for each image: the mean of a frozen encoder's last feature map."""

import csv
import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmpretrain.registry import TRANSFORMS
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, default_collate

from ..data.bad_files import BadImage
from ..data.format_checks import check_channels
from ..data.images import centre_crop_pipeline, train_pipeline
from ..interop.cores import usable_cores
from ..interop.whole_files import write_whole
from ..models.features import feature_maps
from .linear_probe import build_encoder
from .models import input_size, load_encoder

__all__ = ['Embedding', 'Pair', 'embed', 'near_duplicates', 'nearest', 'save_embedding']

#: Rows that are compared with all others at a time.
CHUNK = 1024


class Embedding(NamedTuple):
    """Vectors of images.

    Attributes:
        paths: Of the images, ``N``.
        vectors: ``(N, C)`` float32.
        bad: The files that could not be read, with the reason.
    """

    paths: Sequence[Path | str]
    vectors: np.ndarray
    bad: list[str]


class Pair(NamedTuple):
    """Two images, by their places, and how alike they are: the cosine of their vectors."""

    first: int
    second: int
    cosine: float


def embed(
    cfg: Config,
    checkpoint: str,
    paths: Sequence[Path | str],
    batch_size: int = 64,
    done: Callable[[int], object] = lambda count: None,
) -> Embedding:
    """Give each image a vector.

    Images are read as the config's own training reads them, their short side is resized to the
    encoder's input and the centre is cropped.

    Args:
        cfg: A config of mmpretrain, of pre-training or of a classifier.
        checkpoint: Weights of its model.
        paths: Images.
        batch_size: Images at a time.
        done: Called with the number of images of each batch.

    Raises:
        OSError, RuntimeError, pickle.UnpicklingError: The checkpoint cannot be read.
        ValueError: It does not fit the config's model, the encoder yields no feature maps, or none
            of the images can be read.
    """
    MMLogger.get_current_instance().setLevel('WARNING')
    model = build_encoder(cfg, 0).eval()
    load_encoder(model, checkpoint)
    data = _Images(paths, model, input_size(model), train_pipeline(cfg))
    workers = max(1, usable_cores() - 1)
    loader = DataLoader(data, batch_size, num_workers=workers, collate_fn=_together)
    read: list[Path | str] = []
    vectors: list[Tensor] = []
    bad: list[str] = []
    for first, (images, faults) in zip(range(0, len(paths), batch_size), loader, strict=True):
        bad += filter(None, faults)
        chosen = zip(paths[first : first + batch_size], faults, strict=True)
        read += [path for path, fault in chosen if fault is None]
        if images is not None:
            vectors.append(_vectors(model, images))
        done(len(faults))
    if not read:
        raise ValueError(f'none of {len(paths)} images can be read: {bad[0]}')
    return Embedding(read, torch.cat(vectors).numpy(), bad)


@torch.no_grad()
def _vectors(model: BaseModel, images: Tensor) -> Tensor:
    """``(N, C)`` float32 on the CPU."""
    inputs = model.data_preprocessor(dict(inputs=images, data_samples=None))['inputs']
    last = feature_maps(model, inputs)[-1]
    if last.ndim != 4:
        raise ValueError(
            f'{type(model.backbone).__name__} yields {tuple(last.shape)}, no feature map; embed '
            'takes backbones of mmpretrain with feature maps'
        )
    return last.float().mean((2, 3)).cpu()


def _together(samples: Sequence[Tensor | str]) -> tuple[Tensor | None, list[str | None]]:
    """The images of a batch that can be read, and for each file what is wrong with it, if anything.

    One tensor a batch is copied into shared memory by the worker itself. Of single ones a thread
    does it, and where it finds no room, the process that waits for them waits for ever.
    """
    images = [sample for sample in samples if isinstance(sample, Tensor)]
    faults = [sample if isinstance(sample, str) else None for sample in samples]
    return default_collate(images) if images else None, faults


class _Images(Dataset):
    """Images of files; of one that cannot be read, what is wrong with it."""

    def __init__(
        self,
        paths: Sequence[Path | str],
        model: BaseModel,
        size: tuple[int, int],
        like: Sequence[dict],
    ) -> None:
        steps = centre_crop_pipeline(size, like)
        self.paths, self.model = paths, model
        self.pipeline = Compose([TRANSFORMS.build(step) for step in steps])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor | str:
        try:
            sample = self.pipeline(dict(img_path=str(self.paths[index])))
        except BadImage as bad:
            return str(bad)
        except OSError as error:
            return f'{str(self.paths[index])!r} {error.strerror or error}'
        check_channels(len(sample['inputs']), self.model, 'train_dataloader.dataset.pipeline.0')
        return sample['inputs']


def save_embedding(names: Sequence[str], vectors: np.ndarray, out: Path) -> None:
    """Write names and vectors.

    Args:
        names: ``N`` of them.
        vectors: ``(N, C)``.
        out: ``.npz`` with the arrays ``names`` and ``vectors``; ``.csv`` with a line for each
            image; or ``.parquet`` with the columns ``name`` and ``vector``.

    Raises:
        ImportError: pyarrow is not installed, for ``.parquet``.
    """
    suffix = out.suffix.lower()
    if suffix == '.npz':
        write_whole(out, lambda file: np.savez(file, names=np.array(names), vectors=vectors))
    elif suffix == '.csv':
        write_whole(out, functools.partial(_write_csv, names, vectors))
    else:
        import pyarrow
        from pyarrow import parquet

        # Names of files that are no UTF-8 have characters that it refuses.
        shown = [name.encode(errors='backslashreplace').decode() for name in names]
        columns = dict(name=pyarrow.array(shown), vector=pyarrow.array(list(vectors)))
        write_whole(out, lambda file: parquet.write_table(pyarrow.table(columns), file))


def _write_csv(names: Sequence[str], vectors: np.ndarray, file: BinaryIO) -> None:
    lines = io.TextIOWrapper(file, 'utf-8', errors='surrogateescape', newline='')
    rows = csv.writer(lines)
    rows.writerow(['name', *(f'x{i}' for i in range(vectors.shape[1]))])
    rows.writerows(
        [name, *map(repr, row)] for name, row in zip(names, vectors.tolist(), strict=True)
    )
    lines.detach()  # it flushes, and the file stays open


def nearest(vectors: np.ndarray, queries: Sequence[int], count: int) -> np.ndarray:
    """``(len(queries), count)``, the places of the most alike others, the most alike first.

    Args:
        vectors: ``(N, C)``; their cosines are compared.
        queries: Places among them.
        count: How many others, less than ``N``.
    """
    unit = _unit(vectors)
    cosines = unit[list(queries)] @ unit.T
    cosines[torch.arange(len(queries)), list(queries)] = -2  # not itself
    return cosines.topk(count).indices.numpy()


def near_duplicates(vectors: np.ndarray, cosine: float) -> list[Pair]:
    """All pairs that are at least so alike, the most alike first.

    Args:
        vectors: ``(N, C)``.
        cosine: The least cosine of a pair, -1 to 1.
    """
    unit = _unit(vectors)
    found: list[Pair] = []
    for start in range(0, len(unit), CHUNK):
        cosines = unit[start : start + CHUNK] @ unit.T
        # Each pair once: the second is behind the first.
        rows, columns = torch.nonzero((cosines >= cosine).triu(start + 1), as_tuple=True)
        values = cosines[rows, columns].tolist()
        firsts = (rows + start).tolist()
        found += map(Pair, firsts, columns.tolist(), values)
    return sorted(found, key=lambda pair: -pair.cosine)


def _unit(vectors: np.ndarray) -> Tensor:
    return F.normalize(torch.from_numpy(np.asarray(vectors, dtype=np.float32)))
