"""Every picture of the page as a matplotlib Figure: what is drawn is what was measured."""

import shutil

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from nucleate import NucleateError, Study, StudyError, figures, sweep
from tests.reporting.planted import gated, straight

pytestmark = pytest.mark.slow


def drawn(figure, path):
    """That the figure draws without complaint, as the file that ``path`` names."""
    figures.save(figure, path)
    assert path.stat().st_size > 1000
    assert not plt.get_fignums(), "a figure of its own must not be pyplot's"


@pytest.mark.parametrize(
    "picture",
    [
        figures.loss_by_scale,
        figures.cosine_heat_maps,
        figures.phase_map,
        figures.forecast_against_measured,
        figures.trajectory,
        figures.singular_values,
        figures.neuron_directions,
    ],
)
def test_a_study_has_every_picture(study, tmp_path, picture):
    drawn(picture(study), tmp_path / "picture.svg")


@pytest.mark.parametrize(
    "picture", [figures.loss_by_scale, figures.cosine_heat_maps, figures.phase_map, figures.trajectory]
)
def test_letters_can_be_read_where_the_figure_is_as_wide_as_a_page(study, tmp_path, picture):
    figure = picture(study)
    drawn(figure, tmp_path / "picture.pdf")
    assert figure.get_figwidth() <= 7.2
    sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text()}
    assert 6 <= min(sizes) <= max(sizes) <= 9
    assert b"/Type3" not in (tmp_path / "picture.pdf").read_bytes()


GRID_PICTURES = [figures.loss_by_scale, figures.cosine_heat_maps, figures.phase_map]


@pytest.mark.parametrize("picture", [*GRID_PICTURES, figures.forecast_against_measured, figures.trajectory])
def test_a_study_without_a_finished_run_is_one_sentence(study, tmp_path, picture):
    folder = shutil.copytree(study.path, tmp_path / "study")
    (folder / "results" / "chunk-00000.parquet").unlink()
    with pytest.raises(StudyError, match="has no finished run yet; the same sweep command goes on"):
        picture(Study.load(folder))


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """A study of two chunks, of which the second is still to do."""
    grid = {"gains": [1.0, 0.1], "seeds": 9, "hidden": [12, 9], "steps": 20, "evaluations": 5}
    path = sweep("sine-5d", out=tmp_path_factory.mktemp("unfinished") / "study", progress=False, **grid).path
    for lost in [*path.glob("*/chunk-00001.parquet"), *path.glob("weights/run-0001[67]*"), path / "judgement.json"]:
        lost.unlink()
    return Study.load(path)


@pytest.mark.parametrize("picture", GRID_PICTURES)
def test_an_unfinished_study_is_drawn_as_far_as_it_is(unfinished, tmp_path, picture):
    assert unfinished.missing == 2
    drawn(picture(unfinished), tmp_path / "picture.svg")


def test_before_and_after_shows_widths_and_simpler_models(reduction, tmp_path):
    figure = figures.before_and_after(reduction)
    drawn(figure, tmp_path / "picture.pdf")
    assert [bar.get_height() for bar in figure.axes[0].patches] == [12, 3, 9, 2]
    assert [label.get_text() for label in figure.axes[2].get_yticklabels()][2:] == [
        "constant",
        "linear model",
        "narrow network",
    ]


def test_a_trajectory_is_the_run_asked_for_with_its_forecast(study):
    figure = figures.trajectory(study, 3)
    course = study.trajectories.filter(run=3)
    loss = figure.axes[0].lines
    np.testing.assert_array_equal(loss[0].get_xdata(), course["step"] + 1)
    np.testing.assert_array_equal(loss[0].get_ydata(), course["train_loss"])
    expected = study.forecasts.filter(run=3)["drop_1_percent"].drop_nulls().to_list()
    assert [line.get_xdata()[0] - 1 for line in loss[2:]] == expected
    assert figure.get_suptitle() == "gain 1, learning rate 0.05, seed 1"


def test_measured_stands_against_forecast(study):
    points = figures.forecast_against_measured(study).axes[0].containers
    both = study.results.join(study.forecasts, on="run", suffix="_forecast").drop_nulls(
        ["drop_10_percent", "drop_10_percent_forecast"]
    )
    shown = sorted(tuple(point) for container in points for point in np.column_stack(container.lines[0].get_data()))
    assert shown == sorted(both.select("drop_10_percent_forecast", "drop_10_percent").iter_rows())


def test_of_a_model_without_measured_layers_the_losses_are_drawn_and_the_rest_is_one_sentence(tmp_path):
    grid = {"gains": [1.0], "steps": 20, "evaluations": 4}
    without = sweep("sine-5d", model=straight, out=tmp_path / "study", progress=False, **grid)
    drawn(figures.loss_by_scale(without), tmp_path / "picture.svg")
    for picture in (figures.phase_map, figures.cosine_heat_maps, figures.trajectory, figures.singular_values):
        with pytest.raises(StudyError, match="has no measured layers, so nothing is known of its neurons"):
            picture(without)


def test_of_a_model_that_is_no_network_every_picture_of_layers_is_drawn_from_the_folder_alone(tmp_path):
    grid = {"gains": [1.0, 0.1], "steps": 20, "evaluations": 4}
    path = sweep("sine-5d", model=gated, out=tmp_path / "study", progress=False, **grid).path
    for picture in (figures.phase_map, figures.cosine_heat_maps, figures.trajectory, figures.neuron_directions):
        drawn(picture(Study.load(path)), tmp_path / "picture.svg")
    with pytest.raises(StudyError, match=r"holds no forecasts\. What this model is near zero is not known"):
        figures.forecast_against_measured(Study.load(path))


def test_a_picture_that_cannot_be_is_one_sentence(study, tmp_path):
    with pytest.raises(StudyError, match="has no finished run 99; its runs are 0 to 11"):
        figures.trajectory(study, 99)
    with pytest.raises(StudyError, match="keeps no snapshots of run 1: they are kept of the first seed"):
        figures.neuron_directions(study, 1)
    with pytest.raises(NucleateError, match=r"has no ending that is known; give it .pdf, .png or .svg"):
        figures.save(figures.phase_map(study), tmp_path / "picture.docx")
