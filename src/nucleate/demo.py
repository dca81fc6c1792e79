"""The demonstration: condensation on a real data set in a minute or two."""

from pathlib import Path

from nucleate._files import write_atomically
from nucleate.report import figures
from nucleate.sweep import Study, make_spec, sweep


def run_demo(out: str | Path) -> tuple[Study, list[Path]]:
    """Sweep six init scales, three learning rates and three seeds on the diabetes data, and draw three figures.

    Parameters
    ----------
    out : path
        Gets the study folder ``study`` and the figures as PNG; an unfinished study there is finished.

    Returns
    -------
    study : Study
    figures : list of Path
    """
    out = Path(out)
    spec = make_spec(
        data="diabetes",
        hidden=[100, 100],
        gains=[1.0, 0.3, 0.1, 0.03, 0.01, 0.005],
        lrs=[0.2, 0.1, 0.05],
        seeds=3,
        steps=6000,
        records=60,
    )
    study = sweep(spec, out=out / "study")
    pictures = {
        "loss.png": figures.loss_by_scale(study),
        "cosine.png": figures.cosine_heat_maps(study),
        "phase_map.png": figures.phase_map(study),
    }
    for name, picture in pictures.items():
        write_atomically(out / name, figures.png(picture))
    return study, [out / name for name in pictures]
