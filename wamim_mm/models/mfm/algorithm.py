"""MFM: Masked Frequency Modeling (ICLR 2023, arXiv 2206.07706) and its restoration tasks."""

import torch
from mmpretrain.models import BaseSelfSupervisor, VisionTransformer
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ...ops.fourier import filter_spectrum
from ...ops.masking import sample_draws
from .degradations import FrequencyFilter
from .head import MFMHead
from .initialization import init_vit

#: Images of a batch from which on hardly one lacks one of the two filters.
MIN_SPLIT_BATCH = 16


@MODELS.register_module()
class MFM(BaseSelfSupervisor):
    """Degrade images, encode them whole and predict the originals.

    Args:
        backbone: Any encoder whose last output is a feature map ``(N, C, h, w)``, such as
            mmpretrain's ``ResNet``, ``SwinTransformer``, or ``VisionTransformer`` with
            ``out_type='featmap'``. Earlier outputs are not used; where they have norms of their
            own, DDP needs ``find_unused_parameters=True`` in the config.
        head: `MFMHead`. Channels of the image and of the feature map are filled in from the
            encoder, and so is the stride, where it is not given and a power of two.
        degradation: `FrequencyFilter`, or for the restoration tasks `SuperResolution`, `Deblur` or
            `Denoise`.
        img_size: Side of the images, or ``(height, width)``.
        data_preprocessor: As in mmpretrain's self-supervised algorithms; its ``mean`` and ``std``,
            on the scale of 0 to 255, turn the inputs into images in [0, 1] and back.
        init_cfg: Initialization config. None starts a ``VisionTransformer`` as MFM's release does,
            see `init_vit`, and other encoders as their library does.

    Raises:
        ValueError: The images are too small for the degradation, the encoder yields no feature map
            or one whose stride is unknown or does not divide the images, or head or loss do not
            fit.
    """

    head: MFMHead
    #: What `CompileHook` compiles: encoder and decoder.
    compile_targets = ('backbone.forward', 'head.forward')

    def __init__(
        self,
        backbone: dict,
        head: dict,
        degradation: dict,
        img_size: int | tuple[int, int] = 224,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
        degrading = MODELS.build(degradation)
        degrading.check_size(height, width)
        encoder = MODELS.build(backbone)
        channels, stride = feature_map(encoder, height, width, head.get('stride'))
        colours = input_channels(encoder)
        if head.get('out_channels', colours) != colours:
            raise ValueError(
                f'MFM: {type(encoder).__name__} takes images of {colours} channels, and '
                f'head.out_channels is {head["out_channels"]}; leave it out'
            )
        super().__init__(
            backbone=encoder,
            head=dict(head, in_channels=channels, stride=stride, out_channels=colours),
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        patch_factor = self.head.loss_module.patch_factor
        if isinstance(degrading, FrequencyFilter) and patch_factor > 1:
            raise ValueError(
                'MFM: FrequencyFilter removes frequencies of the whole image, whose loss needs '
                f'patch_factor=1, got {patch_factor}'
            )
        self.head.loss_module.check_size(height, width)
        self.degradation = degrading
        self._mixes_filters = (
            isinstance(degrading, FrequencyFilter)
            and degrading.per == 'sample'
            and 0 < degrading.low_pass_prob < 1
        )
        self.img_size = (height, width)

    def init_weights(self) -> None:
        """Initialize as the configs say; a ``VisionTransformer`` without one as MFM's release."""
        super().init_weights()
        named = self.init_cfg or self.backbone.init_cfg
        if isinstance(self.backbone, VisionTransformer) and not named:
            init_vit(self.backbone)

    def loss(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None, **kwargs
    ) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            inputs: ``(N, C, H, W)`` normalized images.
            data_samples: A sample with a number ``draw``, in [0, 1), is degraded in the way that
                follows from this number. Otherwise the degradation is random.
            **kwargs: Not used; mmpretrain's algorithms accept them.

        Returns:
            ``loss``, over the frequencies that were removed, or all for the restoration tasks.
            Where both filters are mixed, in batches of 16 and more, `MFMHead` tells them apart.
        """
        degraded, mask = self.degrade(inputs, data_samples)
        kept_low = None
        if mask is not None and self._mixes_filters and len(inputs) >= MIN_SPLIT_BATCH:
            kept_low = mask[:, mask.shape[1] // 2, mask.shape[2] // 2]  # frequency 0
        return self.head.loss(last(self.backbone(degraded)), inputs, mask, kept_low)

    @torch.no_grad()
    def degrade(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What the encoder sees, drawn at random.

        Args:
            inputs: ``(N, C, H, W)`` normalized images.
            data_samples: As in :meth:`loss`.

        Returns:
            The same shape, normalized, and the ``(N, H, W)`` mask of the frequencies that were
            kept, None for the restoration tasks.

        Raises:
            ValueError: The images are not of the size that the model was built for.
        """
        if tuple(inputs.shape[-2:]) != self.img_size:
            raise ValueError(
                f'MFM: built for images of {self.img_size}, got {tuple(inputs.shape[-2:])}; set '
                "img_size or the pipeline's crop"
            )
        # The target is the normalized image, as in all of mmpretrain's algorithms. Filters and
        # clamps need pixels in [0, 1], so the images are converted and converted back, in one step
        # each. A preprocessor that does not normalize has neither mean nor std.
        mean = getattr(self.data_preprocessor, 'mean', 0.0) / 255
        std = getattr(self.data_preprocessor, 'std', 1.0) / 255
        draws = sample_draws(data_samples or ())
        degraded, mask = self.degradation(inputs * std + mean, draws)
        return (degraded - mean) / std, mask

    @torch.no_grad()
    def reconstruct(self, inputs: Tensor, data_samples: list[DataSample] | None = None) -> Tensor:
        """Degrade images and restore them; see :meth:`loss` and :meth:`restore`."""
        return self.restore(inputs, *self.degrade(inputs, data_samples))

    @torch.no_grad()
    def restore(self, inputs: Tensor, degraded: Tensor, mask: Tensor | None) -> Tensor:
        """The images that are predicted from degraded ones.

        Args:
            inputs: ``(N, C, H, W)`` normalized images.
            degraded: What :meth:`degrade` made of them.
            mask: The mask of the frequencies that were kept. These are taken from the inputs: no
                loss is computed there, so that predictions of them mean nothing.

        Returns:
            ``(N, C, H, W)`` in the range of the inputs.
        """
        prediction = self.head(last(self.backbone(degraded))).to(inputs.dtype)
        if mask is None:
            return prediction
        return prediction + filter_spectrum(inputs - prediction, mask)


def last(outputs: Tensor | tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    """The last of an encoder's outputs, or its only one."""
    return outputs[-1] if isinstance(outputs, tuple | list) else outputs


def input_channels(encoder: nn.Module) -> int:
    """Channels of the images that an encoder takes, those of its first convolution."""
    convolutions = (part for part in encoder.modules() if isinstance(part, nn.Conv2d))
    return next((part.in_channels for part in convolutions), 3)


@torch.no_grad()
def feature_map(
    encoder: nn.Module, height: int, width: int, stride: int | None = None
) -> tuple[int, int]:
    """Channels and stride of an encoder's last output for images of this size.

    Args:
        encoder: The encoder.
        height: Height of the images, in pixels.
        width: Width of the images, in pixels.
        stride: What the config says; None to measure it.

    Raises:
        ValueError: It is no feature map, or its stride is unknown or does not divide the images.
    """
    name, training = type(encoder).__name__, encoder.training
    encoder.eval()  # running statistics stay as they are
    device = next(encoder.parameters()).device
    images = torch.zeros(1, input_channels(encoder), height, width, device=device)
    output = last(encoder(images))
    encoder.train(training)
    if not isinstance(output, Tensor) or output.ndim != 4:
        raise ValueError(
            f'MFM: the last output of {name} must be a feature map (N, C, h, w), got '
            f'{tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__}; '
            "ViT has out_type='featmap', ConvNeXt and its relatives gap_before_final_norm=False"
        )
    _, channels, rows, columns = output.shape
    own = getattr(encoder, 'patch_resolution', None)
    if own is not None and rows != columns and tuple(own) == (columns, rows):
        raise ValueError(
            f'MFM: img_size is {(height, width)}, (height, width), and {name} was built for '
            f'{own[0]} x {own[1]} patches, height and width exchanged; set both alike'
        )
    measured = height // rows
    found = f'{name} has a feature map of {rows} x {columns} for images of {height} x {width}'
    if stride is None and measured & (measured - 1):
        # 240 pixels at a stride of 32 give 8 cells, because of padding; so does a stride of 30.
        raise ValueError(
            f'MFM: {found}, {measured} pixels a cell, which is no power of two and may come of '
            "padding; change img_size, or say the encoder's stride: head=dict(stride=...)"
        )
    stride = stride or measured
    if (rows * stride, columns * stride) != (height, width):
        raise ValueError(
            f'MFM: {found}, which is not {stride} pixels a cell; change img_size or head.stride'
        )
    return channels, stride
