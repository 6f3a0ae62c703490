"""What the two masked encoders have in common."""

from torch import Tensor


class MaskedEncoder:
    """Mixin of an encoder that takes ``forward(x, mask)`` and skips hidden tokens.

    A subclass tells ``mask_unit``, ``feature_strides`` and ``feature_channels``; the neck and the
    checks of `WaMIM` are built from them.
    """

    mask_unit: int
    feature_strides: list[int]
    feature_channels: list[int]

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        # Height and width of the images that the encoder is built for.
        self.img_size: tuple[int, int] = tuple(self.patch_embed.init_input_size)

    def mask_grid(self, height: int, width: int) -> tuple[int, int]:
        """Mask units along the sides of an image.

        Raises:
            ValueError: The sides are not multiples of the mask unit.
        """
        unit = self.mask_unit
        if height % unit or width % unit:
            raise ValueError(
                f'{type(self).__name__}: masking needs sides divisible by the mask unit of {unit} '
                f'pixels, got {height} x {width}; resize or crop the images'
            )
        return height // unit, width // unit

    def check_mask(self, x: Tensor, mask: Tensor) -> Tensor:
        """The mask on the CPU, where geometry is worked out.

        Raises:
            ValueError: It is not a map of the mask units of ``x``.
        """
        expected = (x.shape[0], *self.mask_grid(*x.shape[-2:]))
        if tuple(mask.shape) != expected:
            raise ValueError(
                f'{type(self).__name__}: images {tuple(x.shape)} with mask units of '
                f'{self.mask_unit} pixels need a mask of shape {expected}, got {tuple(mask.shape)}'
            )
        return mask.cpu()
