"""Plain dense encoders in which attention ignores masked tokens: the reference of the tests.

Nothing of the project's code is used. Hidden tokens are computed along with the others; only as
keys of an attention are they left out, by a score so low that its softmax is exactly zero.
"""

import torch
import torch.nn.functional as F

NEVER = -1e30


def hide_keys_vit(model, hidden):
    """Make the attention of mmpretrain's VisionTransformer ignore hidden patches.

    Args:
        model: The encoder, changed in place.
        hidden: (N, h, w) bool.
    """
    extra = model.num_extra_tokens
    keys = F.pad(hidden.flatten(1), (extra, 0), value=False)  # (N, extra + L)

    def forward(attn, x):
        batch, length, channels = x.shape
        qkv = attn.qkv(x).view(batch, length, 3, attn.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / (channels // attn.num_heads) ** 0.5
        scores = scores.masked_fill(keys[:, None, None, :], NEVER)
        out = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, channels)
        return attn.out_drop(attn.gamma1(attn.proj(out)))

    for layer in model.layers:
        layer.attn.forward = forward.__get__(layer.attn)


def hide_keys_swin(model, hidden):
    """Make the attention of mmpretrain's SwinTransformer ignore hidden units.

    Args:
        model: The encoder, changed in place.
        hidden: (N, h, w) bool over the tokens of the last stage.
    """
    last = len(model.stages) - 1
    for i, stage in enumerate(model.stages):
        side = 2 ** (last - i)
        fine = hidden.repeat_interleave(side, 1).repeat_interleave(side, 2)
        for block in stage.blocks:
            block.attn.forward = _shifted_windows(fine).__get__(block.attn)


def _shifted_windows(hidden):
    def forward(attn, x, hw_shape):
        (height, width), window = hw_shape, attn.window_size
        batch, _, channels = x.shape
        at_border = min(height, width) == window and not attn.pad_small_map
        shift = 0 if at_border else attn.shift_size
        pad = (0, -width % window, 0, -height % window)
        x = F.pad(x.view(batch, height, width, channels), (0, 0, *pad))
        keys = F.pad(hidden, pad, value=False)[..., None]  # padding is attended to
        x, keys = (t.roll((-shift, -shift), (1, 2)) for t in (x, keys))
        apart = attn.get_attn_mask(x.shape[1:3], window, shift)  # (nW, A, A) or None
        rows, columns = x.shape[1:3]
        x = attn.window_partition(x, window).flatten(1, 2)  # (N * nW, A, C)
        keys = attn.window_partition(keys, window).flatten(1)  # (N * nW, A)

        msa = attn.w_msa
        q, k, v = msa.qkv(x).view(*x.shape[:2], 3, msa.num_heads, -1).permute(2, 0, 3, 1, 4)
        scores = (q * msa.scale) @ k.transpose(-2, -1)
        table = msa.relative_position_bias_table[msa.relative_position_index.flatten()]
        scores = scores + table.view(window**2, window**2, -1).permute(2, 0, 1)
        if apart is not None:
            scores = scores.unflatten(0, (batch, -1)) + apart[:, None]
            scores = scores.flatten(0, 1)
        scores = scores.masked_fill(keys[:, None, None, :], NEVER)
        out = (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape)
        out = msa.proj(out).view(-1, window, window, channels)
        out = attn.window_reverse(out, rows, columns, window).roll((shift, shift), (1, 2))
        return attn.drop(out[:, :height, :width].reshape(batch, height * width, channels))

    return forward


def randomize(model):
    """Random weights that leave no part of an attention without effect."""
    for name, parameter in model.named_parameters():
        if 'bias_table' in name:
            torch.nn.init.normal_(parameter)
        elif parameter.ndim > 1:
            torch.nn.init.xavier_normal_(parameter)
        elif 'bias' in name:
            torch.nn.init.normal_(parameter, std=0.1)
