"""From an image file to a model's input size, for commands that look at a model."""


def centre_crop_pipeline(size: tuple[int, int]) -> list[dict]:
    """mmpretrain transforms that read a file and take its centre, in ``size`` (height, width)."""
    return [
        dict(type='mmpretrain.LoadImageFromFile'),
        dict(type='mmpretrain.ResizeEdge', scale=max(size), edge='short', backend='pillow'),
        dict(type='mmpretrain.CenterCrop', crop_size=size[::-1]),  # (width, height)
        dict(type='mmpretrain.PackInputs'),
    ]
