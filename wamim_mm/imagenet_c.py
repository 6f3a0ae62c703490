"""What ImageNet-C consists of (Hendrycks and Dietterich, ICLR 2019, arXiv 1903.12261, section 4).

Imports nothing: commands list these names in their help.
"""

#: Top-1 errors of AlexNet in %, means over the five severities: what the benchmark's authors
#: normalize by (section 4.1). The numbers are in google-research/augmix, imagenet.py; their parts
#: by severity, in timm's bits_and_tpu branch, agree.
ALEXNET_ERRORS = {
    'gaussian_noise': 88.6428,
    'shot_noise': 89.4468,
    'impulse_noise': 92.2640,
    'defocus_blur': 81.9880,
    'glass_blur': 82.6268,
    'motion_blur': 78.5948,
    'zoom_blur': 79.8360,
    'snow': 86.6816,
    'frost': 82.6572,
    'fog': 81.9324,
    'brightness': 56.4592,
    'contrast': 85.3204,
    'elastic_transform': 64.6056,
    'pixelate': 71.7840,
    'jpeg_compression': 60.6500,
}
#: The 15 corruptions that count.
CORRUPTIONS = tuple(ALEXNET_ERRORS)
SEVERITIES = (1, 2, 3, 4, 5)
