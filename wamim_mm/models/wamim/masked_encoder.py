"""What the two masked encoders have in common."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from mmcv.cnn.bricks.transformer import PatchEmbed
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_map_only

from ...ops.masking import VisibleTokens, to_device, visible_patches


class MaskedEncoder(BaseModule):
    """Mixin of an encoder that takes ``forward(x, mask)`` and skips hidden tokens.

    A subclass defines ``mask_unit``, ``depth``, ``feature_strides``, ``feature_channels`` and
    ``features_normed``; the neck and the checks of `WaMIM` are built from them.

    Images with a mask are encoded in two steps. First ``geometry`` computes a layout, which says
    where the visible tokens are. It needs the mask only and runs on the CPU, best in the workers of
    the data loader. Then ``encode_visible`` computes the features. All its tensors are on the
    device of the images, so that ``torch.compile`` can make one graph of it.
    """

    #: The host's, which is the next class in the order of methods.
    patch_embed: PatchEmbed

    @property
    @abstractmethod
    def mask_unit(self) -> int:
        """Side of a mask unit in pixels."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """How many places ``out_indices`` names one of: blocks, or stages."""

    @property
    @abstractmethod
    def feature_strides(self) -> list[int]:
        """Pixels per token along a side, for each output."""

    @property
    @abstractmethod
    def feature_channels(self) -> list[int]:
        """Channels of each output."""

    @property
    @abstractmethod
    def features_normed(self) -> list[bool]:
        """Whether each output is normed already."""

    @property
    @abstractmethod
    def geometry(self) -> Callable[[Tensor], Any]:
        """From a mask on the CPU to the layout that `encode_visible` takes.

        The layout is a tensor, or tensors in (named) tuples. The function holds no part of the
        model, so that it goes to another process cheaply.
        """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        # Height and width of the images that the encoder is built for.
        self.img_size: tuple[int, int] = tuple(self.patch_embed.init_input_size)
        conv = self.patch_embed.projection
        if conv.kernel_size != conv.stride or conv.dilation != (1, 1) or conv.padding != (0, 0):
            raise ValueError(
                f'{type(self).__name__}: patches must not overlap, or visible ones would show '
                f'hidden pixels; got kernel {conv.kernel_size}, stride {conv.stride}, dilation '
                f'{conv.dilation} and padding {conv.padding} in patch_cfg'
            )
        if conv.stride[0] != conv.stride[1]:
            raise ValueError(
                f'{type(self).__name__}: patches must be square, as mask units are, got '
                f'patch_size={conv.kernel_size}; images need not be'
            )

        for name, part in self.named_modules():
            heads, width = getattr(part, 'num_heads', None), getattr(part, 'embed_dims', None)
            if isinstance(heads, int) and isinstance(width, int) and width % heads:
                raise ValueError(
                    f'{type(self).__name__}: num_heads {heads} does not divide the {width} '
                    f'channels of {name}; change arch (or num_heads, embed_dims)'
                )

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

    def forward(self, x: Tensor, mask: Tensor | None = None):
        """Encode images.

        Args:
            x: ``(N, C, H, W)`` normalized images.
            mask: None, or ``(N, H / mask_unit, W / mask_unit)`` bool, True where hidden, the same
                number hidden in every sample; best on the CPU.

        Returns:
            Without a mask, what the host returns. With one, a tuple of `VisibleTokens`, one for
            each entry of ``out_indices``, normalized where the host's output is.

        Raises:
            ValueError: The mask does not fit the images, or its samples differ in their number of
                visible units.
        """
        if mask is None:
            return super().forward(x)
        return self.encode_visible(x, self.lay_out(x, mask))

    def lay_out(self, x: Tensor, mask: Tensor) -> Any:
        """The layout of a mask, which `encode_visible` needs, on the device of the images.

        Raises:
            ValueError: The mask is not a map of the mask units of ``x``, or its samples differ in
                their number of visible units.
        """
        self.check_mask(x, mask)
        return layout_to(self.geometry(mask.cpu()), x.device)

    def check_mask(self, x: Tensor, mask: Tensor) -> None:
        """Raise ValueError unless the mask is a map of the mask units of ``x``."""
        expected = (x.shape[0], *self.mask_grid(*x.shape[-2:]))
        if tuple(mask.shape) != expected:
            raise ValueError(
                f'{type(self).__name__}: images {tuple(x.shape)} with mask units of '
                f'{self.mask_unit} pixels need a mask of shape {expected}, got {tuple(mask.shape)}'
            )

    def encode_visible(self, x: Tensor, layout: Any) -> tuple[VisibleTokens, ...]:
        """Encode what is visible of ``(N, C, H, W)`` images."""
        raise NotImplementedError

    def embed_visible(self, x: Tensor, units: Tensor) -> Tensor:
        """The patch embedding of visible patches alone.

        Args:
            x: ``(N, C, H, W)`` images.
            units: ``(N, K)`` visible units, on the device of the images.

        Returns:
            ``(N, L, C)`` tokens in the order of `unit_tokens`.
        """
        conv, norm = self.patch_embed.projection, self.patch_embed.norm
        patches = visible_patches(x, units, self.mask_unit, conv.stride[0])
        tokens = F.linear(patches, conv.weight.flatten(1), conv.bias)
        return tokens if norm is None else norm(tokens)


def layout_to(layout: Any, device: torch.device) -> Any:
    """A layout, a tensor or tensors in (named) tuples, on another device."""
    return tree_map_only(Tensor, lambda part: to_device(part, device), layout)
