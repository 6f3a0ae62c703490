"""Names of the pictures of predictions."""

from pathlib import Path

from wamim_mm.evaluation.predictions import picture_names


def names(*images):
    root, out = Path('in'), Path('out')
    found = picture_names([root / image for image in images], root, out)
    return [str(picture.relative_to(out)) for picture in found.values()]


def test_each_image_has_its_picture():
    assert names('a.jpg', 'b/a.jpg', 'c.png') == ['a.png', 'b/a.png', 'c.png']
    assert names('a.jpg', 'a.png') == ['a.jpg.png', 'a.png.png']
    # Not even a name that looks like another's picture is written twice.
    images = ['a.jpg', 'a.png', 'a.jpg.png', 'b.tif']
    assert len(set(names(*images))) == len(images)
