"""The narrower control, small Swin on CIFAR-10: pixels, normalized as WaMIM's subbands.

python tools/train.py configs/study/pixels-subband_swin.py --cfg-options data_root=DIR

As pixels_swin.py, but each place in the block and colour is normalized over the positions of the
image. Targets then differ from WaMIM's by the rotation of a block alone, which the Haar wavelet is.
"""

_base_ = './pixels_swin.py'

model = dict(target_generator=dict(norm='subband'))
