"""One page of a pre-training run: how far it is, its curves, its pictures, what to do next.

wamim report WORK_DIR

Writes WORK_DIR/report.html, one file without links to others. The pictures show images of the
run's own data; other ones come by --images.
"""

from __future__ import annotations

import html
import tempfile
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from ..class_names import import_custom_modules, short_name
from ..image_files import BAD_FILES, is_shards
from .checks import find_images
from .curves import as_svg, logged, machine, pyplot, training_steps, versions
from .errors import CommandParser, command, positive
from .progress import duration
from .settings import check_new_file
from .work_dir import last_checkpoint

if TYPE_CHECKING:
    from mmengine.config import Config

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --line: #8886; --soft: #8881 }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem }}
img, svg {{ max-width: 100%; height: auto }}
table {{ border-collapse: collapse; width: 100% }}
th {{ white-space: nowrap }}
td, th {{ padding: .3rem .8rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line);
         vertical-align: top }}
nav a {{ margin-right: 1rem }}
pre {{ background: var(--soft); padding: .7rem; overflow-x: auto; border-radius: 4px }}
a {{ color: inherit }}
</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{state}</p>
<nav aria-label="Contents">{contents}</nav>
</header>
<main>
{sections}
</main>
<footer><p><small>{made}</small></p></footer>
</body>
</html>
"""


@command
def main() -> None:
    """Write the page and print where it is."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument('work_dir', type=Path)
    parser.add_argument('--images', help="images to draw (the run's own)")
    parser.add_argument('--count', type=positive, default=4, help='of images (%(default)s)')
    parser.add_argument('--out', type=Path, metavar='FILE.html', help='(WORK_DIR/report.html)')
    args = parser.parse_args()
    if args.out:
        check_new_file(args.out, '--out', ('.html', '.htm'))
    out = args.out or args.work_dir / 'report.html'
    run = Run(args.work_dir)
    text = page(run, args.images, args.count)
    out.write_text(text)
    print(f'wrote {out}')


class Run:
    """What a work dir says of its run.

    Args:
        folder: The work dir.

    Attributes:
        cfg: Its last config.
        steps: Its logged steps.
        checkpoint: The last one; None where there is none.
    """

    def __init__(self, folder: Path) -> None:
        from mmengine.config import Config

        self.folder = folder
        self.steps = training_steps(folder)
        configs = sorted(folder.glob('*/vis_data/config.py'))
        if not configs:
            raise FileNotFoundError(f'no */vis_data/config.py in {folder}, as a run leaves it')
        self.cfg: Config = Config.fromfile(configs[-1], import_custom_modules=False)
        import_custom_modules(self.cfg)
        self.checkpoint: Path | None = None
        with suppress(FileNotFoundError, RuntimeError):
            self.checkpoint = last_checkpoint(folder)
        #: Images of a step, in all processes.
        self.batch = self.cfg.train_dataloader.batch_size * self.cfg.get('processes', 1)

    @property
    def title(self) -> str:
        """Method, encoder and data."""
        model = self.cfg.model
        backbone = model.backbone
        arch = backbone.get('arch') or backbone.get('depth') or ''
        kind = short_name(backbone).removeprefix('WaMIM')
        name = f'{kind} {arch}' if isinstance(arch, str | int) else kind
        data = Path(str(self.cfg.train_dataloader.dataset.get('data_root', ''))).name
        return f'{short_name(model)}, {name.strip()}' + (f', on {data}' if data else '')

    @property
    def ended(self) -> bool:
        """Whether the last checkpoint is of the run's last step."""
        if self.checkpoint is None:
            return False
        loop = self.cfg.train_cfg
        if self.checkpoint.name in (
            f'epoch_{loop.get("max_epochs")}.pth',
            f'iter_{loop.get("max_iters")}.pth',
        ):
            return True
        # Epochs may be saved by steps, and under any name.
        from mmengine.runner.checkpoint import CheckpointLoader

        found = CheckpointLoader.load_checkpoint(str(self.checkpoint), 'cpu', 'silent')
        steps = found.get('message_hub', {}).get('runtime_info', {}).get('max_iters')
        return steps is not None and found['meta']['iter'] >= steps

    @property
    def state(self) -> str:
        """How far it is and how fast it went."""
        last, loop = self.steps[-1], self.cfg.train_cfg
        seconds = sum(step['time'] for step in self.steps) / len(self.steps)
        unit, of = (
            ('epoch', loop.get('max_epochs'))
            if 'max_epochs' in loop
            else ('step', loop.get('max_iters'))
        )
        found = 'Finished' if self.ended else 'Not finished'
        bad = self.folder / BAD_FILES
        count = len(bad.read_bytes().splitlines()) if bad.is_file() else 0
        return (
            f'{found}: {unit} {last[unit]} of {of}, {last["step"] * self.batch:,} images seen in '
            f'{duration(last["step"] * seconds)}, {self.batch / seconds:,.0f} images/s; '
            f'{count or "no"} bad files.'
        )


def page(run: Run, images: str | None, count: int) -> str:
    """The page's HTML."""
    sections = {
        'Curves': curves_section(run),
        'Probe': probe_section(run),
        'Pictures': pictures_section(run, images, count),
        'Next': next_section(run),
    }
    config = html.escape(run.cfg.pretty_text)
    sections['Config'] = (
        f'<details><summary>All of it</summary><pre tabindex="0">{config}</pre></details>'
    )
    known = ', '.join([machine(), *(f'{name} {value}' for name, value in versions().items())])
    body = [
        f'<section id="{name.lower()}"><h2>{name}</h2>\n{text}\n</section>'
        for name, text in sections.items()
        if text
    ]
    links = [f'<a href="#{name.lower()}">{name}</a>' for name, text in sections.items() if text]
    return PAGE.format(
        title=html.escape(run.title),
        state=html.escape(run.state),
        contents='\n'.join(links),
        sections='\n'.join(body),
        made=html.escape(f'Page made on {known}.'),
    )


def curves_section(run: Run) -> str:
    """Curves, and a line for each level that says what it means."""
    from ..evaluation.healthy_losses import healthy_bands, levels_of
    from ..evaluation.models import build_model

    model = build_model(run.cfg)
    levels, weights = levels_of(model)
    if not levels:
        return loss_curve(run) + '<p>The loss of every logged step.</p>'
    seen = [step['step'] * run.batch for step in run.steps]
    figure, axis = pyplot().subplots(figsize=(8, 3.6), layout='constrained')
    rows = []
    bands = healthy_bands(model)
    for place, (level, weight) in enumerate(zip(levels, weights, strict=True)):
        losses = [step[f'loss_level{level}'] / weight for step in run.steps]
        axis.plot(seen, losses, color=f'C{place}', label=f'level {level}')
        band = bands.get(level)
        if band:
            axis.fill_between(band.images, band.low, band.high, color=f'C{place}', alpha=0.2)
        rows.append((f'level {level}', meaning(losses, seen, band)))
    axis.axhline(1, color='grey', linestyle=':', label='nothing predicted')
    axis.set_xlabel('images seen')
    axis.set_ylabel('squared error, unweighted')
    axis.set_xlim(0, max(seen))
    axis.set_ylim(0, 1.05 * max(1.0, *axis.dataLim.intervaly))
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, loc='lower left')
    table = ''.join(f'<tr><th scope="row">{name}</th><td>{text}</td></tr>' for name, text in rows)
    note = 'Levels from fine to coarse; the dotted line is what a prediction of nothing has.'
    if bands:
        note += ' Shaded: healthy runs of small encoders on CIFAR-10, for as far as they went.'
    return f'{as_svg(figure, "loss of every level")}<p>{note}</p><table>{table}</table>'


def loss_curve(run: Run) -> str:
    """The loss alone, of methods without levels."""
    figure, axis = pyplot().subplots(figsize=(8, 3.2), layout='constrained')
    labels = dict(loss='all', error_low_pass='low ones kept', error_high_pass='high ones kept')
    for key, label in labels.items():
        found = [(step['step'], step[key]) for step in run.steps if key in step]
        if found:
            axis.plot(*zip(*found, strict=True), label=label)
    if len(axis.lines) > 1:  # MFM with both of its filters
        axis.legend(frameon=False)
    axis.set_xlabel('step')
    axis.set_ylabel('loss')
    axis.grid(alpha=0.3)
    return as_svg(figure, 'loss')


def probe_section(run: Run) -> str:
    """What the encoder's features said of labelled images; empty where nobody asked."""
    found = [entry for entry in logged(run.folder) if 'probe/linear' in entry]
    if not found:
        return ''
    seen = [entry['step'] * run.batch for entry in found]
    figure, axis = pyplot().subplots(figsize=(8, 3.2), layout='constrained')
    for key, label in (('linear', 'linear probe'), ('knn', 'nearest neighbours')):
        axis.plot(seen, [entry[f'probe/{key}'] for entry in found], marker='o', label=label)
    axis.set_xlabel('images seen')
    axis.set_ylabel('percent correct')
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    first, last = found[0], found[-1]
    return (
        f'{as_svg(figure, "accuracy of the probe")}<p>The frozen encoder on labelled images: a '
        f'linear probe reads {last["probe/linear"]:.1f} % of the classes right, after '
        f'{first["probe/linear"]:.1f} % before step {first["step"] + 1}; of the nearest neighbours '
        f'{last["probe/knn"]:.1f} %, after {first["probe/knn"]:.1f} %.</p>'
    )


def meaning(losses: list[float], seen: list[int], band: Any) -> str:
    """What a level's curve says, in a sentence."""
    now = losses[-1]
    text = f'{max(0, 1 - now):.0%} of the energy recovered, loss {now:.3f}'
    if now >= 1:
        text += ': no better than predicting nothing yet'
    limits = band.at(seen[-1]) if band else None
    if limits is None:
        return text
    low, high = limits
    where = 'above' if now > high else 'below' if now < low else 'within'
    return f'{text}; {where} the healthy band of {low:.2f} to {high:.2f} here'


def pictures_section(run: Run, images: str | None, count: int) -> str:
    """Reconstructions of the last checkpoint; empty where there is none, or no image."""
    if run.checkpoint is None:
        return ''
    from base64 import b64encode

    from ..data.images import train_folder
    from ..evaluation.reconstructions import draw_reconstructions, is_pretraining

    root = images or train_folder(run.cfg)
    if not (is_pretraining(run.cfg) and root and (is_shards(root) or Path(root).exists())):
        return ''
    try:
        paths = find_images(root)
    except FileNotFoundError:  # shards that have gone
        return ''
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, 'reconstruction.png')
        draw_reconstructions(run.cfg, str(run.checkpoint), paths, picture, count)
        source = b64encode(picture.read_bytes()).decode()
    text = (
        'What the encoder sees of some images, and what the decoders make of it, by '
        + html.escape(run.checkpoint.name)
    )
    return (
        f'<p>{text}.</p>\n<img alt="images, their visible parts and reconstructions" '
        f'src="data:image/png;base64,{source}">'
    )


def next_section(run: Run) -> str:
    """Commands that follow."""
    if run.checkpoint is None:
        return ''
    ckpt, folder = quote(str(run.checkpoint)), run.folder
    lines = (
        f'wamim embed {ckpt} DIR --out {quote(str(folder / "embeddings.npz"))}',
        f'wamim probe {ckpt} --data-root DIR   # DIR/train/<class>, DIR/val/<class>',
        f'wamim export {ckpt} {quote(str(folder / "timm.safetensors"))} --to timm',
    )
    return f'<pre tabindex="0">{html.escape(chr(10).join(lines))}</pre>'


if __name__ == '__main__':
    main()
