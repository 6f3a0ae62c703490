"""Images for a look at a model: which files, and how they reach its input size."""

from pathlib import Path

SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.webp'}


def find_images(path: Path) -> list[Path]:
    """The image itself, or all images under a folder, in order.

    Raises:
        FileNotFoundError: There is none.
    """
    if path.is_file():
        return [path]
    images = sorted(p for p in path.rglob('*') if p.suffix.lower() in SUFFIXES)
    if not images:
        raise FileNotFoundError(
            f'no image at {str(path)!r}; give an image or a folder with images '
            f'({", ".join(sorted(SUFFIXES))})'
        )
    return images


def centre_crop_pipeline(size: tuple[int, int]) -> list[dict]:
    """Mmpretrain transforms that read a file and take its centre, in ``size`` (height, width)."""
    return [
        dict(type='LoadImageFromFile'),
        dict(type='ResizeEdge', scale=max(size), edge='short', backend='pillow'),
        dict(type='CenterCrop', crop_size=size[::-1]),  # (width, height)
        dict(type='PackInputs'),
    ]
