"""The ends of the names of image files."""

#: What OpenCV or Pillow decodes, in lower case.
SUFFIXES = (
    *('.jpg', '.jpeg', '.jfif', '.png', '.webp', '.bmp', '.tif', '.tiff', '.ppm', '.pgm'),
    *('.gif', '.jp2', '.avif'),
)
