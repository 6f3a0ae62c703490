"""The demo's metrics.json and report.html, made of what its stages left behind."""

import base64
import html
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..cli.curves import as_png, curves, machine, pyplot, scalars, validations, versions

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>wamim_mm demo</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff }}
img {{ max-width: 100% }}
img.scene {{ width: 14rem; margin-right: .5rem }}
table {{ border-collapse: collapse; margin: 1rem 0 }}
td, th {{ padding: .3rem 1rem .3rem 0; text-align: left; border-bottom: 1px solid #ddd }}
td.number, th.number {{ text-align: right }}
code, pre {{ background: #f4f4f4; border-radius: 4px }}
code {{ padding: .1rem .3rem }} pre {{ padding: .7rem 1rem; overflow-x: auto }}
</style>
<h1>WaMIM and MFM on the built-in scenes</h1>
<p>Small encoders were pre-trained on {images} drawn scenes, without labels. With WaMIM they saw the
visible quarter of a scene and learned to predict the wavelet coefficients of the rest, fine levels
from shallow layers and coarse levels from deep ones; with MFM they saw it without its low
frequencies and learned to predict those.</p>
<h2>Is it learning something useful?</h2>
<p>A linear classifier on the mean features of the frozen encoder's trained layers names the
{classes} classes of scenes (the pattern and the shape of the largest object). Beside it, the same
encoder at random initialization (seeds: {seeds}).</p>
{probes}
<h2>Is it robust?</h2>
<p>The same classifiers, fitted to clean scenes, on corrupted ones: corruptions of ImageNet-C at the
middle of their five severities.</p>
<img alt="accuracy on clean and corrupted scenes" src="{robustness}">
<h2>Does it help downstream?</h2>
<p>The same detector and the same segmentor, trained for the same few iterations on the same scenes
with labels, once from the pre-trained encoder and once from scratch. A run this short shows who
learns faster, not where training ends.</p>
{downstream}
{sections}
<h2>Where to go next</h2>
<p>Your own images, in <code>DIR/train</code>, sub-folders or not:</p>
<pre>python tools/train.py configs/pretrain/wamim_vit-b.py --cfg-options data_root=DIR</pre>
<p>Eight GPUs and ImageNet-1K:</p>
<pre>IMAGENET_ROOT=DIR tools/dist_train.sh configs/pretrain/wamim_swin-b.py 8 --amp</pre>
<p>Pictures and a probe of any checkpoint:</p>
<pre>python tools/reconstruct.py CONFIG CHECKPOINT IMAGES --out PICTURE.png
python tools/linear_probe.py CONFIG CHECKPOINT --data-root DIR</pre>
<p>Curves of real images, to compare your own with: <code>docs/real-images.md</code>.</p>
<p><small>{machine}</small></p>
</html>
"""

SECTION = """<h2>{title}</h2>
<p>{curves_text}</p>
<img alt="loss curves" src="{curves}">
<p>Scenes that it was not trained on. {pictures_text}</p>
<img alt="images, what the encoder saw of them and what it predicts" src="{pictures}">
"""

WAMIM_PICTURES = """Above: the image, and the inverse wavelet transform of its predictions at the
hidden places, one level finer in each column. Below: what it saw, and the same from the true
coefficients. Levels finer than the last column's are not predicted: even the truth is a little
soft."""

MFM_PICTURES = """Above: the image, what it saw of it, and its prediction of what was missing, with
the frequencies that were there. Below: the spectra of these, low frequencies in the centre."""

TASK = """<h2>{title}: predictions</h2>
<p>Scenes that it was not trained on, after fine-tuning from the pre-trained encoder.</p>
<p>{pictures}</p>
"""


def write_report(out: Path, runs: dict[str, str], tasks: dict[str, str]) -> dict:
    """Write ``metrics.json`` and ``report.html``.

    Args:
        out: The demo's folder, with a work dir for each run.
        runs: Folder and title of each pre-training run.
        tasks: Folder and title of each downstream task; the folder holds the work dirs
            ``pre-trained`` and ``scratch``, and ``pictures``.

    Returns:
        What metrics.json holds.
    """
    metrics: dict[str, Any] = {
        'runs': {},
        'downstream': {},
        'versions': versions(),
        'machine': machine(),
    }
    rows: list[tuple[str, ...]] = []
    sections: list[str] = []
    for name, title in runs.items():
        steps = scalars(out / name)
        levels = sorted(key for key in steps[0] if key.startswith('loss_level'))
        probe = json.loads((out / name / 'probe.json').read_text())
        metrics['runs'][name] = {
            'probe': probe,
            'iterations': steps[-1]['step'],
            'seconds_per_iteration': sum(s['time'] for s in steps) / len(steps),
            'loss_first': {key: steps[0][key] for key in ('loss', *levels)},
            'loss_last': {key: steps[-1][key] for key in ('loss', *levels)},
        }
        shares = (probe['pretrained'], probe['random'], probe['chance'])
        rows.append((title, *(f'{share:.1%}' for share in shares)))
        sections.append(
            SECTION.format(
                title=html.escape(title),
                curves_text=f'{steps[-1]["step"]} iterations; '
                + ('the loss of every level, weighted.' if levels else 'the loss.'),
                curves=as_source(curves(steps, levels)),
                pictures_text=WAMIM_PICTURES if levels else MFM_PICTURES,
                pictures=as_source((out / name / 'reconstruction.png').read_bytes()),
            )
        )
    downstream: list[tuple[str, ...]] = []
    for name, title in tasks.items():
        found = {start: scores(out / name / start) for start in ('pre-trained', 'scratch')}
        metrics['downstream'][name] = found
        for key, score in found['pre-trained'].items():
            downstream.append((f'{title}, {key}', f'{score:.1f}', f'{found["scratch"][key]:.1f}'))
        drawn = sorted((out / name / 'pictures').rglob('*.png'))
        pictures = '\n'.join(
            f'<img class="scene" alt="prediction" src="{as_source(path.read_bytes())}">'
            for path in drawn
        )
        sections.append(TASK.format(title=html.escape(title), pictures=pictures))
    (out / 'metrics.json').write_text(json.dumps(metrics, indent=2))
    page = PAGE.format(
        images=probe['train_images'],
        classes=round(1 / probe['chance']),
        seeds=len(probe['random_seeds']),
        probes=table(('pre-trained', 'random', 'chance'), rows),
        robustness=as_source(
            robustness_chart({t: metrics['runs'][n]['probe'] for n, t in runs.items()})
        ),
        downstream=table(('from pre-trained', 'from scratch'), downstream),
        sections='\n'.join(sections),
        machine=html.escape(', '.join([machine(), *(f'{k} {v}' for k, v in versions().items())])),
    )
    (out / 'report.html').write_text(page)
    return metrics


def robustness_chart(probes: dict[str, dict]) -> bytes:
    """Accuracies on clean and corrupted images, by title, as a PNG."""
    figure, axes = pyplot().subplots(
        1, len(probes), figsize=(3.2 * len(probes), 2.8), sharey=True, layout='constrained'
    )
    for axis, (title, probe) in zip(np.atleast_1d(axes), probes.items(), strict=True):
        images = {'clean': probe, **probe['corruptions']}
        places = np.arange(len(images))
        for offset, start in ((-0.2, 'pretrained'), (0.2, 'random')):
            shares = [100 * found[start] for found in images.values()]
            axis.bar(places + offset, shares, 0.4, label=start.replace('pret', 'pre-t'))
        axis.axhline(100 * probe['chance'], color='grey', linestyle=':', label='chance')
        axis.set_xticks(places, [name.replace('_', '\n') for name in images], fontsize=7)
        axis.set_title(title, fontsize=9)
    np.atleast_1d(axes)[0].set_ylabel('top-1, %')
    figure.legend(
        *axis.get_legend_handles_labels(), loc='outside upper center', ncols=3, fontsize=7
    )
    return as_png(figure)


def scores(work_dir: Path) -> dict[str, float]:
    """The last scores of a downstream run, in percent.

    Raises:
        ValueError: The run was not scored.
    """
    found = validations(work_dir)
    if not found:
        raise ValueError(f'{work_dir} holds no scores; was its training interrupted?')
    names = {'coco/bbox_mAP': 'box AP', 'coco/segm_mAP': 'mask AP', 'mIoU': 'mIoU'}
    return {  # COCO's scores are shares, mmseg's are percentages
        names[key]: 100 * value if key.startswith('coco/') else value
        for key, value in found[-1].items()
        if key in names
    }


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table whose first column names the rows."""
    head = '<tr><th></th>' + ''.join(f'<th class="number">{name}</th>' for name in heads) + '</tr>'
    body = ''.join(
        f'<tr><td>{html.escape(title)}</td>'
        + ''.join(f'<td class="number">{value}</td>' for value in values)
        + '</tr>'
        for title, *values in rows
    )
    return f'<table>{head}{body}</table>'


def as_source(png: bytes) -> str:
    """A picture inside the page, so that the page can be sent as one file."""
    return 'data:image/png;base64,' + base64.b64encode(png).decode()
