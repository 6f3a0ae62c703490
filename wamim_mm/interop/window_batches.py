"""mmpretrain's Swin counts the images of a batch by a division of floats.

`torch.export` then takes their number for a constant, and what it exports, to ONNX for instance, is
silently wrong for every other batch. Upstream: divide whole numbers.
"""

from torch import Tensor


def install() -> None:
    """Let Swin put windows together for a batch of any size."""
    from mmpretrain.models.utils.attention import ShiftWindowMSA

    ShiftWindowMSA.window_reverse = staticmethod(window_reverse)


def window_reverse(windows: Tensor, height: int, width: int, size: int) -> Tensor:
    """Put windows together.

    Args:
        windows: ``(N * height / size * width / size, size, size, C)``.
        height: Of the result.
        width: Of the result.
        size: Of a window.

    Returns:
        ``(N, height, width, C)``.
    """
    rows, columns = height // size, width // size
    images = windows.shape[0] // (rows * columns)
    grid = windows.view(images, rows, columns, size, size, -1)
    return grid.permute(0, 1, 3, 2, 4, 5).reshape(images, height, width, -1)
