"""The page of checkpoints draws the units as their weights are: directions in the leading plane, singular values."""

import json
from base64 import b64decode

import numpy as np
import pytest
from safetensors.numpy import save_file

from nucleate import inspect
from nucleate.reporting import LANGUAGES, report_checkpoints


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(0)
    start, axis = rng.standard_normal((30, 12)), rng.standard_normal(12)
    return [(1 - share) * start + share * np.outer(rng.uniform(1, 2, 30), axis) for share in (0.0, 0.5, 1.0)]


@pytest.fixture(scope="module")
def found(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    for step, array in enumerate(weights):
        save_file({"fc.weight": array}, folder / f"step-{step}.safetensors")
    return inspect(f"{folder}/step-*.safetensors")


def drawn(page):
    """What the page's script is given of the one layer."""
    text = page.read_text("utf-8")
    start = text.index('<script type="application/json" id="data">') + len('<script type="application/json" id="data">')
    return json.loads(text[start : text.index("</script>", start)])["layers"][0]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_directions_and_singular_values_are_those_of_the_weights(found, weights, lang, tmp_path):
    layer = drawn(report_checkpoints(found, lang, tmp_path / "page.html"))
    points = np.frombuffer(b64decode(layer["points"]), np.int8).reshape(3, 30, 2) / 127
    singular = np.frombuffer(b64decode(layer["singular"]), "<f4").reshape(3, 12)
    random = np.frombuffer(b64decode(layer["random"]), "<f4").reshape(3, 12)
    for step, array in enumerate(weights):
        values = np.linalg.svd(array, compute_uv=False)
        assert singular[step] == pytest.approx(values / values[0], abs=1e-6)
        # Directions in the plane of the two leading ones keep their cosines with each other, however it is turned.
        unit = array / np.linalg.norm(array, axis=1, keepdims=True)
        plane = unit @ np.linalg.svd(array)[2][:2].T
        assert points[step] @ points[step].T == pytest.approx(plane @ plane.T, abs=0.03)
    # A random matrix of these row norms has no one direction.
    assert random[2, 1] > 0.3 > singular[2, 1]


def test_each_picture_is_turned_to_be_near_the_one_before(found, tmp_path):
    layer = drawn(report_checkpoints(found, "en", tmp_path / "page.html"))
    points = np.frombuffer(b64decode(layer["points"]), np.int8).reshape(3, 30, 2) / 127
    moved = np.linalg.norm(points[1] - points[0])
    for angle in np.linspace(0.2, 6, 30):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        assert moved <= np.linalg.norm(points[1] @ turn - points[0]) + 0.05


def test_the_table_has_what_happened_between_the_first_step_and_the_last(tmp_path):
    rng = np.random.default_rng(0)
    spread, one_way = rng.standard_normal((30, 12)), np.outer(rng.uniform(1, 2, 30), rng.standard_normal(12))
    for step, array in enumerate((spread, one_way, spread)):
        save_file({"fc.weight": array}, tmp_path / f"step-{step}.safetensors")
    found = inspect(f"{tmp_path}/step-*.safetensors")
    page = report_checkpoints(found, "en", tmp_path / "page.html").read_text("utf-8")
    first, _, last = found.table.filter(measure="effective_rank")["value"]
    assert "<td>0.00% → 100.00% → 0.00%</td>" in page
    assert f"<td>{first:.1f} → 1.0 → {last:.1f}</td>" in page
