"""The loss of MFM."""

import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...ops.fourier import check_mask, fold_mask, pair_counts
from ...ops.masking import to_device
from ...ops.precision import at_least_float32


@MODELS.register_module()
class FrequencyLoss(nn.Module):
    """Distance of two spectra at the frequencies that were removed (MFM, section 3.3).

    ``|F(pred) - F(target)| ** gamma``, where ``F`` is the orthonormal 2-D transform, averaged over
    frequencies, channels and samples. The options are those of the focal frequency loss
    (arXiv 2012.12821), which MFM builds on, under the names of the two releases.

    Args:
        gamma: Exponent of the distance.
        with_matrix: Weight every frequency by its own distance, so that frequencies that are far
            off count more. No gradient flows through the weights.
        matrix_gamma: Exponent of that weight.
        log_matrix: Take ``log(1 + weight)``.
        batch_matrix: Divide weights by their maximum over the batch; False: by that of each
            channel of each image.
        patch_factor: Compare the spectra of ``patch_factor ** 2`` equal patches of the image.
        ave_spectrum: Compare the mean spectra of the batch.

    Raises:
        ValueError: An exponent is not positive, ``patch_factor`` is not a whole number of 1 or
            more, or an option of the weights is set without ``with_matrix``.
    """

    def __init__(
        self,
        gamma: float = 1.0,
        with_matrix: bool = False,
        matrix_gamma: float = 1.0,
        log_matrix: bool = False,
        batch_matrix: bool = False,
        patch_factor: int = 1,
        ave_spectrum: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (('gamma', gamma), ('matrix_gamma', matrix_gamma)):
            if not 0 < value < float('inf'):
                raise ValueError(f'FrequencyLoss: {name} must be positive, got {value}')
        if not isinstance(patch_factor, int) or patch_factor < 1:
            raise ValueError(
                f'FrequencyLoss: patch_factor must be a whole number, 1 or more, got {patch_factor}'
            )
        if (log_matrix or batch_matrix or matrix_gamma != 1) and not with_matrix:
            raise ValueError(
                'FrequencyLoss: matrix_gamma, log_matrix and batch_matrix shape the weights of '
                'with_matrix=True, got with_matrix=False'
            )
        self.gamma = gamma
        self.with_matrix = with_matrix
        self.matrix_gamma = matrix_gamma
        self.log_matrix = log_matrix
        self.batch_matrix = batch_matrix
        self.patch_factor = patch_factor
        self.ave_spectrum = ave_spectrum

    def check_size(self, height: int, width: int) -> None:
        """Raise ValueError unless the image can be cut into equal patches."""
        if height % self.patch_factor or width % self.patch_factor:
            raise ValueError(
                f'FrequencyLoss: patch_factor {self.patch_factor} does not divide images of '
                f'{height} x {width}'
            )

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """The loss of a batch.

        Args:
            pred: ``(N, C, H, W)``; half precision is computed in float32.
            target: The same shape.
            mask: ``(H, W)`` or ``(N, H, W)`` bool over the centred spectrum, True where a frequency
                was kept: the loss counts where it is False. None counts everywhere. With patches,
                it covers the spectrum of a patch.

        Returns:
            A scalar; 0 where the mask keeps everything.

        Raises:
            ValueError: The shapes do not fit together.
        """
        distances, frequencies = self.of_images(pred, target, mask)
        return distances.sum() / frequencies.sum().clamp(min=1)

    def of_images(
        self, pred: Tensor, target: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The loss of each image, before it is divided: arguments as for :meth:`forward`.

        Returns:
            ``(N,)`` sums of the distances, and the numbers of frequencies that they are of. With
            ``ave_spectrum`` and no mask there is one image.
        """
        if pred.shape != target.shape or pred.ndim != 4:
            raise ValueError(
                'FrequencyLoss: pred and target must be (N, C, H, W) of one shape, got '
                f'{tuple(pred.shape)} and {tuple(target.shape)}'
            )
        self.check_size(*pred.shape[-2:])
        # The transform is linear: one transform of the difference replaces two.
        difference = self._patches(at_least_float32(pred) - at_least_float32(target))
        batch, *_, height, width = difference.shape
        if self.ave_spectrum:
            difference = difference.mean(0, keepdim=True)
        modulus = torch.fft.rfft2(difference, norm='ortho').abs()  # (N, C, p, p, h, w // 2 + 1)
        distance = _power(modulus, self.gamma)
        if self.with_matrix:
            distance = distance * self._matrix(modulus.detach())
        distance = distance.mean((1, 2, 3))

        weights = pair_counts(width, distance.dtype, distance.device).expand(height, -1)
        if mask is not None:
            check_mask(mask, batch, (height, width))
            weights = weights * fold_mask(~to_device(mask, distance.device), distance.dtype)
        distance, weights = torch.broadcast_tensors(distance, weights)
        return (distance * weights).sum((1, 2)), weights.sum((1, 2))

    def _patches(self, x: Tensor) -> Tensor:
        """``(N, C, p, p, H / p, W / p)``: the grid of patches, then the pixels of each."""
        p = self.patch_factor
        return x.unflatten(3, (p, -1)).unflatten(2, (p, -1)).transpose(3, 4)

    def _matrix(self, modulus: Tensor) -> Tensor:
        """Weights in [0, 1]; 0 where there is no distance at all."""
        matrix = modulus**self.matrix_gamma
        if self.log_matrix:
            matrix = matrix.log1p()
        largest = matrix.amax() if self.batch_matrix else matrix.amax((-2, -1), keepdim=True)
        return matrix / largest.clamp(min=torch.finfo(matrix.dtype).tiny)


def _power(modulus: Tensor, gamma: float) -> Tensor:
    """``modulus ** gamma`` with a finite gradient at 0 too.

    For ``gamma`` below 1, the slope grows without bound towards 0. At 0 the gradient is set to 0,
    which is also the gradient of the modulus itself there.
    """
    if gamma >= 1:
        return modulus**gamma
    tiny = torch.finfo(modulus.dtype).tiny
    zero = modulus < tiny
    return (modulus.masked_fill(zero, 1) ** gamma).masked_fill(zero, 0)
