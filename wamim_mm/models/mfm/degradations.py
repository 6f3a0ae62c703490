"""What is taken from the images that MFM and its restoration tasks restore.

All modules have the same two methods. ``check_size(height, width)`` raises ValueError where images
of that size cannot be degraded. ``forward(images, draws)`` takes ``(N, C, H, W)`` images in [0, 1]
and returns the degraded ones, and the mask of the frequencies that were kept, or None where every
frequency is to be restored. They run on the device of the images.

``draws`` is ``(N,)`` float64 in [0, 1) on the CPU: one number for each sample, which decides all
that is random about its degradation. With None, torch's own generators decide.
"""

from collections.abc import Sequence

import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ...ops.fourier import frequency_filter, low_pass_mask
from ...ops.masking import to_device


@MODELS.register_module()
class FrequencyFilter(nn.Module):
    """Low-pass or high-pass filter, drawn at random (MFM, section 3.2).

    Args:
        radius: Frequencies nearer to 0 are low, the others high.
        outer_radius: Where given, high frequencies end here. Then either the frequencies between
            the two radii are kept, in place of high-pass, or all others, in place of low-pass.
        low_pass_prob: Probability to keep the low frequencies.
        per: ``'sample'``: drawn for every image; ``'batch'``: once for all.

    Raises:
        ValueError: A radius or probability out of its range, or an unknown ``per``.
    """

    def __init__(
        self,
        radius: float = 16,
        outer_radius: float | None = None,
        low_pass_prob: float = 0.5,
        per: str = 'sample',
    ) -> None:
        super().__init__()
        if not radius > 0:
            raise ValueError(f'FrequencyFilter: radius must be positive, got {radius}')
        if outer_radius is not None and not outer_radius > radius:
            raise ValueError(
                f'FrequencyFilter: outer_radius must be above the radius of {radius}, got '
                f'{outer_radius}'
            )
        if not 0 <= low_pass_prob <= 1:
            raise ValueError(
                f'FrequencyFilter: low_pass_prob must be between 0 and 1, got {low_pass_prob}'
            )
        if per not in ('sample', 'batch'):
            raise ValueError(f"FrequencyFilter: per must be 'sample' or 'batch', got {per!r}")
        self.radius = radius
        self.outer_radius = outer_radius
        self.low_pass_prob = low_pass_prob
        self.per = per

    def check_size(self, height: int, width: int) -> None:
        """Raise ValueError if a radius reaches over the edge of the spectrum."""
        half = min(height, width) / 2
        for name in ('radius', 'outer_radius'):
            radius = getattr(self, name)
            if radius is not None and not radius <= half:
                raise ValueError(
                    f'FrequencyFilter: {name} {radius} is larger than half the side of images of '
                    f'{height} x {width}; use {half:g} or less'
                )

    def forward(self, images: Tensor, draws: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Filtered images, clamped to [0, 1], and the ``(N, H, W)`` mask, True where kept."""
        low = self.low_pass(images)
        draws = torch.rand(len(images), dtype=torch.float64) if draws is None else draws
        keeps_low = (draws if self.per == 'sample' else draws[:1]) < self.low_pass_prob
        keeps_low = to_device(keeps_low, images.device).expand(len(images))
        mask = low == keeps_low[:, None, None]
        return frequency_filter(images, mask), mask

    def low_pass(self, images: Tensor) -> Tensor:
        """``(H, W)`` bool over the centred spectrum, True at low frequencies."""
        size = (images.shape[-2], images.shape[-1])
        low = low_pass_mask(size, self.radius, images.device)
        if self.outer_radius is None:
            return low
        return low | ~low_pass_mask(size, self.outer_radius, images.device)


@MODELS.register_module()
class SuperResolution(nn.Module):
    """Bicubic down and up again, clamped to [0, 1] after both, as in MFM's release.

    No antialiasing: `torch.nn.functional.interpolate` with its defaults.

    Args:
        scale: Factor between the two sizes.

    Raises:
        ValueError: The scale is not a whole number of 2 or more.
    """

    def __init__(self, scale: int = 8) -> None:
        super().__init__()
        if not isinstance(scale, int) or scale < 2:
            raise ValueError(
                f'SuperResolution: scale must be a whole number, 2 or more, got {scale}'
            )
        self.scale = scale

    def check_size(self, height: int, width: int) -> None:
        """Raise ValueError unless the scale divides the sides."""
        if height % self.scale or width % self.scale:
            raise ValueError(
                f'SuperResolution: scale {self.scale} does not divide images of {height} x {width}'
            )

    def forward(self, images: Tensor, draws: Tensor | None = None) -> tuple[Tensor, None]:
        """Images with fewer details, and no mask; nothing is random here."""
        height, width = images.shape[-2:]
        small = (height // self.scale, width // self.scale)
        down = F.interpolate(images, size=small, mode='bicubic').clamp(0, 1)
        return F.interpolate(down, size=(height, width), mode='bicubic').clamp(0, 1), None


@MODELS.register_module()
class Deblur(nn.Module):
    """Isotropic Gaussian blur with a kernel size drawn for every image.

    Borders are mirrored without repeating the outermost pixel, as OpenCV does by default and MFM's
    release with it.

    Args:
        sigma: Standard deviation in pixels.
        kernel_sizes: Odd sizes, each as likely as the others.

    Raises:
        ValueError: Sigma is not positive, or the sizes are not odd and positive.
    """

    def __init__(
        self,
        sigma: float = 5.0,
        kernel_sizes: Sequence[int] = (7, 9, 11, 13, 15, 17, 19, 21),
    ) -> None:
        super().__init__()
        if not 0 < sigma < float('inf'):
            raise ValueError(f'Deblur: sigma must be positive, got {sigma}')
        if not kernel_sizes or any(size < 1 or size % 2 != 1 for size in kernel_sizes):
            raise ValueError(
                f'Deblur: kernel_sizes must be odd and positive, got {tuple(kernel_sizes)}'
            )
        self.sigma = sigma
        self.kernel_sizes = tuple(kernel_sizes)

    def check_size(self, height: int, width: int) -> None:
        """Raise ValueError if a kernel reaches beyond the mirrored image."""
        if max(self.kernel_sizes) // 2 >= min(height, width):
            raise ValueError(
                f'Deblur: a kernel of {max(self.kernel_sizes)} pixels needs sides of more than '
                f'{max(self.kernel_sizes) // 2}, got {height} x {width}'
            )

    def forward(self, images: Tensor, draws: Tensor | None = None) -> tuple[Tensor, None]:
        """Blurred images, and no mask."""
        batch, channels = images.shape[:2]
        draws = torch.rand(batch, dtype=torch.float64) if draws is None else draws
        kernels = to_device(self.kernels(draws), images.device).to(images.dtype)
        kernels = kernels.repeat_interleave(channels, dim=0)[:, None]  # (N * C, 1, K)
        margin = max(self.kernel_sizes) // 2
        x = F.pad(images, (margin,) * 4, mode='reflect').flatten(0, 1)[None]  # (1, N * C, ...)
        with torch.autocast(images.device.type, enabled=False):
            x = F.conv2d(x, kernels[:, :, None, :], groups=batch * channels)
            x = F.conv2d(x, kernels[:, :, :, None], groups=batch * channels)
        return x.view_as(images), None

    def kernels(self, draws: Tensor) -> Tensor:
        """``(N, K)`` kernels along one side, 0 beyond the size that each sample has drawn."""
        drawn = (draws * len(self.kernel_sizes)).long()
        reach = torch.tensor(self.kernel_sizes)[drawn][:, None] // 2
        margin = max(self.kernel_sizes) // 2
        distance = torch.arange(-margin, margin + 1)
        kernels = torch.exp(-0.5 * (distance / self.sigma) ** 2) * (distance.abs() <= reach)
        return kernels / kernels.sum(1, keepdim=True)


@MODELS.register_module()
class Denoise(nn.Module):
    """Gaussian noise on every pixel and colour, not clamped, as in MFM's release.

    Args:
        sigma: Standard deviation on the scale of 0 to 255.

    Raises:
        ValueError: Sigma is not positive.
    """

    def __init__(self, sigma: float = 75.0) -> None:
        super().__init__()
        if not 0 < sigma < float('inf'):
            raise ValueError(f'Denoise: sigma must be positive, got {sigma}')
        self.sigma = sigma

    def check_size(self, height: int, width: int) -> None:
        """Accept any size."""

    def forward(self, images: Tensor, draws: Tensor | None = None) -> tuple[Tensor, None]:
        """Noisy images, and no mask."""
        return images + self.noise(images, draws) * (self.sigma / 255), None

    @staticmethod
    def noise(images: Tensor, draws: Tensor | None) -> Tensor:
        """Standard normal numbers of the images' shape.

        They come from a generator on the device of the images, because an accelerator would have
        to wait for numbers from the CPU. So they depend on the kind of device.
        """
        if draws is None:
            return torch.randn_like(images)
        generator = torch.Generator(images.device)
        noise = torch.empty_like(images)
        for one, draw in zip(noise, draws.tolist(), strict=True):
            one.normal_(generator=generator.manual_seed(int(draw * 2**53)))
        return noise
