"""The page: all in one file, nothing in it that the data could have smuggled in, and small."""

import json
import re
import shutil
from base64 import b64decode
from contextlib import nullcontext
from dataclasses import replace
from html.parser import HTMLParser

import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest

import nucleate
from nucleate import NucleateError, Study, StudyError, report, sweep
from nucleate.observe import cosine_similarity
from nucleate.optimizers import Optimizer
from nucleate.problems import Loss, Metric
from nucleate.reduction import save_reduction
from nucleate.reporting import LANGUAGES
from nucleate.reporting.payload import payload
from nucleate.reporting.words import load_texts
from nucleate.studies import make_spec, study_findings
from nucleate.studies.tables import table_to_bytes
from tests.conftest import EVIL, GRID
from tests.reporting.planted import gated, straight
from tests.sealed import seal_tensors, write_json

pytestmark = pytest.mark.slow


BRIEF = {"gains": [1.0, 0.1], "steps": 30, "evaluations": 8, "progress": False}


class Reader(HTMLParser):
    """The elements of a page, its text outside scripts and styles, and the embedded data."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words, self.scripts, self._inside = [], [], [], None
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = tag if tag in ("script", "style") else self._inside

    def handle_endtag(self, tag):
        self._inside = None if tag == self._inside else self._inside

    def handle_data(self, text):
        if self._inside == "script":
            self.scripts.append(text)
        elif self._inside is None:
            self.words.append(text)

    @property
    def data(self):
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def pages(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return {lang: Reader(report(study, lang, folder / f"{lang}.html").read_text("utf-8")) for lang in LANGUAGES}


def copied(study, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(study.path, folder)
    return folder


def test_data_derived_text_is_shown_and_never_run(pages):
    for page in pages.values():
        assert EVIL in page.text
        assert "<i>&.csv" in page.text
        # The two of the page itself, the data and plotly's: no more.
        assert [tag for tag, _ in page.tags].count("script") == 3
        assert not {"i", "b"} & {tag for tag, _ in page.tags}


def test_nothing_is_fetched(pages):
    for page in pages.values():
        links = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
        assert links == ["data:,"]
        policies = [attributes.get("content", "") for tag, attributes in page.tags if tag == "meta"]
        assert any(policy.startswith("default-src 'none'") for policy in policies)


def test_both_languages_have_all_sections_and_the_same_numbers(pages):
    for lang, page in pages.items():
        texts = load_texts(lang)
        for section in ("asked", "answer", "map", "runs", "reduction", "recommendation", "methods"):
            assert texts[section]["heading"] in page.text
        assert [attributes for tag, attributes in page.tags if tag == "html"] == [{"lang": lang}]
        assert page.data["cells"][0]["curves"] == pages["en"].data["cells"][0]["curves"]


def test_the_methods_name_versions_seeds_and_hashes(study, pages):
    for wanted in (study.data_hash, study.split_hash, f"jax {study.versions['jax']}", "0, 1", "12, 9"):
        assert wanted in pages["en"].text


def test_every_cell_can_be_chosen_and_every_run_is_in_the_table(study, pages):
    page = pages["en"]
    chosen = [attributes["data-cell"] for tag, attributes in page.tags if "data-cell" in attributes]
    assert sorted(chosen) == sorted([str(cell) for cell in range(6)] * 2)
    labels = [attributes.get("aria-label", "") for tag, attributes in page.tags if tag == "button"]
    assert len(labels) >= 6
    assert all(
        re.search(r"gain [\d.]+, learning rate [\d.]+: [\d.]+ effective neurons of \d+", label) for label in labels
    )
    assert [tag for tag, attributes in page.tags].count("tbody") >= 6


def test_the_pictures_are_those_of_the_snapshots(study):
    data = payload(study_findings(study), load_texts("en"))
    taken = study.snapshots(0)
    snapshots = data["cells"][0]["snapshots"]
    assert snapshots["steps"] == [int(snapshot.step) for snapshot in taken]
    part, last = snapshots["layers"][0], taken[-1]
    n = part["neurons"]
    assert n == 12
    cosines = np.frombuffer(b64decode(part["cosine"]), np.int8).reshape(len(taken), -1)[-1] / 127
    wanted = cosine_similarity(last.directions[0].astype(float))[np.triu_indices(n, 1)]
    np.testing.assert_allclose(np.sort(cosines), np.sort(wanted), atol=0.005)
    sizes = np.frombuffer(b64decode(part["sizes"]), np.uint8).reshape(len(taken), n)[-1] / 255
    np.testing.assert_allclose(sizes, last.amplitudes[0] / last.amplitudes[0].max(), atol=0.003)
    singular = np.frombuffer(b64decode(part["singular"]), "<f4").reshape(len(taken), -1)[-1]
    np.testing.assert_allclose(singular, last.singular_values[0] / last.singular_values[0][0], rtol=1e-6)
    points = np.frombuffer(b64decode(part["points"]), np.int8).reshape(len(taken), n, 2) / 127
    assert np.hypot(*points.T).max() <= 1.01


def test_two_input_weights_are_shown_as_they_are_with_their_strength_as_radius(tmp_path):
    x = np.random.default_rng(0).standard_normal((60, 2))
    np.savez(tmp_path / "plane.npz", x=x, y=x[:, 0])
    grid = {"gains": [0.5], "hidden": [6, 5], "bias": "none", "steps": 20, "evaluations": 4}
    study = sweep(tmp_path / "plane.npz", **grid, out=tmp_path / "study", progress=False)
    first, second = payload(study_findings(study), load_texts("en"))["cells"][0]["snapshots"]["layers"]
    assert (first["polar"], second["polar"]) == (True, False)
    points = np.frombuffer(b64decode(first["points"]), np.int8).reshape(-1, 6, 2)[-1] / 127
    taken = study.snapshots(0)[-1]
    wanted = taken.directions[0] * (taken.amplitudes[0] / taken.amplitudes[0].max())[:, None]
    np.testing.assert_allclose(points, wanted, atol=0.005)


def test_an_unfinished_study_says_what_is_missing_and_shows_the_rest(tmp_path):
    study = sweep("sine-5d", out=tmp_path / "study", hidden=GRID["hidden"], seeds=9, **BRIEF)
    (study.path / "results" / "chunk-00001.parquet").unlink()
    page = Reader(report(study.path, out=tmp_path / "page.html").read_text("utf-8"))
    assert "not finished: 2 of 18 runs are still to do" in page.text
    assert load_texts("en")["recommendation"]["heading"] in page.text
    shutil.rmtree(study.path / "results")
    page = Reader(report(study.path, out=tmp_path / "page.html").read_text("utf-8"))
    assert "No run of this study is finished yet (18 are still to do)" in page.text
    assert study.data_hash in page.text


def kept_with(folder, reduction, **changes):
    """A page of the study with this reduction in its folder."""
    study = Study.load(folder)
    changes = {"data_hash": study.data_hash, "run": 2} | changes
    save_reduction(replace(reduction, **changes), folder / "reduction", study.identity)
    return Reader(report(folder, out=folder / "page.html").read_text("utf-8"))


@pytest.mark.parametrize(("after", "said"), [(0.96e-3, "(not faster)"), (0.5e-3, "(2.0 times as fast)")])
def test_a_network_is_called_faster_beyond_the_noise_of_timing_alone(study, reduction, tmp_path, after, said):
    timed = replace(reduction, inference=replace(reduction.inference, before=1e-3, after=after))
    assert said in kept_with(copied(study, tmp_path), timed).text


def test_the_reduction_kept_in_the_folder_is_shown_before_and_after(study, reduction, tmp_path):
    page = kept_with(copied(study, tmp_path), reduction)
    assert (
        "The network trained at gain 1 and learning rate 0.05 can be replaced by one with 3 + 2 hidden neurons: "
        "23 of 177 parameters (13 %), 1 ms instead of 4 ms for 1,024 rows (4.0 times as fast), and a test error (RMSE) "
        "of 2.200 instead of 2.100."
    ) in page.text
    assert "hidden neurons 12 + 9 3 + 2 parameters 177 23 (13 %)" in page.text
    assert "time for 1,024 rows, one thread 4 ms 1 ms validation error (RMSE) 2.000 2.010" in page.text
    assert "differ by 0.5 at most and by 0.125 on average" in page.text
    assert "linear model — 6 3.000 3.100 2.4" in page.text
    assert "best constant (mean, or most frequent class) — 1 4.000 4.100 3.2" in page.text
    assert "test MAE" in page.text


@pytest.mark.parametrize(
    ("loss", "said"), [(0.0312, "3.1 % of the variance"), (1e-17, "less than 0.1 % of the variance")]
)
def test_what_acting_as_one_loses_is_said(loss, said, study, reduction, tmp_path):
    groups = tuple(replace(group, labels=np.zeros_like(group.labels), loss=loss) for group in reduction.groups)
    assert said in kept_with(copied(study, tmp_path), reduction, groups=groups).text


def test_a_layer_that_acts_as_one_neuron_is_said_to_be_so(study, reduction, tmp_path):
    groups = tuple(replace(group, labels=np.zeros_like(group.labels)) for group in reduction.groups)
    page = kept_with(copied(study, tmp_path), reduction, groups=groups)
    assert "the 12 neurons of layer 1 act as one." in page.text
    assert "1 groups" not in page.text


def test_a_layer_in_which_no_two_neurons_act_as_one_is_said_to_be_so(study, reduction, tmp_path):
    groups = tuple(replace(group, labels=np.arange(len(group.labels)), loss=0.0) for group in reduction.groups)
    page = kept_with(copied(study, tmp_path), reduction, groups=groups)
    assert "no two of the 12 neurons of layer 1 act as one" in page.text
    assert "groups that each act as one" not in page.text


def test_a_reduction_of_another_start_than_the_recommended_one_says_how_to_make_that(study, reduction, tmp_path):
    findings = study_findings(study)
    recommended = findings.recommended_run
    other = next(run for run in study.results["run"] if run not in findings.recommended.runs)
    folder = copied(study, tmp_path)
    page = kept_with(folder, reduction, run=other)
    assert f"“nucleate reduce STUDY --run {recommended}” reduces that one" in page.text
    assert "another start" not in kept_with(folder, reduction, run=recommended).text


def test_of_classes_the_certificate_tells_probabilities_and_labels(study, reduction, tmp_path):
    certificate = replace(reduction.certificate, relative_deviation=None, labels_changed=4)
    page = kept_with(copied(study, tmp_path), reduction, certificate=certificate)
    assert "the class probabilities of the two networks differ by 0.5 at most" in page.text
    assert "and 4 of the rows get another class" in page.text


def test_a_network_that_could_not_be_made_smaller_is_not_praised(study, reduction, tmp_path):
    page = kept_with(copied(study, tmp_path), reduction, network=reduction.original)
    assert "No smaller network was found that does the work of the one trained at gain 1" in page.text
    assert "can be replaced" not in page.text


@pytest.mark.parametrize("harm", ["other data", "other run", "another study", "cut off", "no network"])
def test_a_reduction_that_cannot_be_used_is_said_to_be_so_and_the_rest_is_shown(study, reduction, tmp_path, harm):
    folder = copied(study, tmp_path)
    changes = {"other data": {"data_hash": "0"}, "other run": {"run": 99}}.get(harm, {})
    with pytest.warns(UserWarning, match="; reduce again") if changes else nullcontext():
        kept_with(folder, reduction, **changes)
    file = folder / "reduction" / "reduction.json"
    if harm == "another study":
        save_reduction(replace(reduction, run=2), folder / "reduction", "another")
    if harm == "cut off":
        file.write_bytes(file.read_bytes()[:100])
    if harm == "no network":
        (folder / "reduction" / "network.safetensors").unlink()
    with pytest.warns(UserWarning, match="; reduce again"):
        report(folder, out=tmp_path / "page.html")
    page = Reader((tmp_path / "page.html").read_text("utf-8"))
    texts = load_texts("en")
    assert texts["reduction"]["unreadable"] in page.text
    assert texts["recommendation"]["heading"] in page.text


def test_a_reduction_interrupted_before_its_end_is_none_yet(study, reduction, tmp_path):
    folder = copied(study, tmp_path)
    kept_with(folder, reduction)
    (folder / "reduction" / "reduction.json").unlink()
    with pytest.warns(UserWarning, match="does without a reduction: There is no reduction in"):
        report(folder, out=tmp_path / "page.html")
    shutil.rmtree(folder / "reduction")
    (folder / "reduction").touch()
    with pytest.warns(UserWarning, match="does without a reduction: There is no reduction in"):
        report(folder, out=tmp_path / "page.html")
    page = Reader((tmp_path / "page.html").read_text("utf-8"))
    assert load_texts("en")["reduction"]["none"] in page.text


def test_where_every_run_diverged_the_page_says_so(tmp_path):
    study = sweep("sine-5d", **GRID | {"lrs": [1e4], "gains": [1.0]}, out=tmp_path / "study", progress=False)
    page = Reader(report(study, out=tmp_path / "page.html").read_text("utf-8"))
    assert "No run of this study trained to its end (diverged: 2)" in page.text


def test_the_page_of_500_runs_stays_under_10_megabytes(tmp_path):
    one = {"hidden": [60, 60], "gains": [0.1], "lrs": [0.05], "steps": 300, "evaluations": 80}
    study = sweep("sine-5d", **one, out=tmp_path / "study", progress=False)
    grid = one | {"gains": [1 / k for k in range(1, 11)], "lrs": [0.1 / k for k in range(1, 11)], "seeds": 5}
    many = replace(study, spec=make_spec(data="sine-5d", **grid))
    write_json(study.path / "spec.json", many.to_json(), "spec.json")
    cells = [(gain, lr, seed) for gain in grid["gains"] for lr in grid["lrs"] for seed in range(5)]
    for table in ("results", "forecasts", "trajectories"):
        file = f"{table}/chunk-00000.parquet"
        row, copies = pl.read_parquet(study.path / file), []
        for run, (gain, lr, seed) in enumerate(cells):
            keys = {"run": run, "gain": gain, "lr": lr, "seed": seed}
            copies.append(
                row.with_columns(**{name: pl.lit(keys[name], row.schema[name]) for name in keys if name in row.columns})
            )
        rows = pl.concat(copies)
        for chunk in many.plan.chunks:
            file = f"{table}/chunk-{chunk.number:05d}.parquet"
            of_chunk = rows.filter(pl.col("run").is_in([run.number for run in chunk.runs]))
            (study.path / file).write_bytes(table_to_bytes(of_chunk, many.place(file)))
    snapshots = (study.path / "snapshots" / "run-00000.safetensors").read_bytes()
    for run in range(0, 500, 5):
        file = f"snapshots/run-{run:05d}.safetensors"
        (study.path / file).write_bytes(seal_tensors(snapshots, many.place(file)))
    page = report(study.path, out=tmp_path / "page.html")
    assert page.stat().st_size < 10_000_000
    data = Reader(page.read_text("utf-8")).data
    assert len(data["cells"]) == 100
    assert all(cell["snapshots"] for cell in data["cells"])


def test_a_model_that_is_no_network_has_a_page_with_its_layers_by_name(tmp_path):
    path = sweep("sine-5d", model=gated, **BRIEF, out=tmp_path / "study").path
    page = Reader(report(path, out=tmp_path / "page.html").read_text("utf-8"))
    assert "Networks with 6 hidden neurons (model gated) learn" in page.text
    assert "Hidden layer gated, 6 neurons" in page.text
    assert page.data["names"] == ["gated"]
    assert load_texts("en")["runs"]["forecast_none"] in page.text
    assert [len(cell["snapshots"]) > 0 for cell in page.data["cells"]] == [True, True]


def test_a_model_without_measured_layers_is_one_sentence(tmp_path):
    study = sweep("sine-5d", model=straight, **BRIEF, out=tmp_path / "study")
    with pytest.raises(StudyError, match="has no measured layers, so nothing is known of its neurons; give its class"):
        report(study, out=tmp_path / "page.html")


def test_a_loss_an_optimizer_and_a_metric_of_ones_own_are_called_by_their_names(tmp_path):
    def pseudo_huber(outputs, y):
        return jnp.sum(jnp.sqrt(1 + (outputs - y) ** 2) - 1, axis=1)

    wrong = Metric("wrong signs", lambda predicted, true: float(np.mean(predicted * true < 0)), is_share=True)
    own = {"loss": Loss("pseudo-huber", pseudo_huber, metric=wrong), "optimizer": Optimizer("lion", optax.lion)}
    path = sweep("sine-5d", hidden=[4], lrs=[0.001], **own, **BRIEF, out=tmp_path / "study").path
    page = Reader(report(path, out=tmp_path / "page.html").read_text("utf-8"))
    assert "loss pseudo-huber" in page.text
    assert "optimizer lion" in page.text
    assert re.search(r"the wrong signs is [\d.]+ % on validation", page.text)
    assert "test wrong signs" in page.text


def test_what_cannot_be_reported_is_one_sentence(study, tmp_path):
    with pytest.raises(StudyError, match=r"holds no study \(there is no spec.json\)"):
        report(tmp_path)
    with pytest.raises(NucleateError, match="There is no language 'fr'"):
        report(study, "fr", tmp_path / "page.html")
    with pytest.raises(NucleateError, match=r"page.html cannot be written \(No such file or directory\)"):
        report(study, out=tmp_path / "absent" / "page.html")
    folder = copied(study, tmp_path)
    (folder / "trajectories" / "chunk-00000.parquet").unlink()
    with pytest.raises(StudyError, match=r"chunk-00000.parquet is missing; run the same sweep again into the folder"):
        report(folder, out=tmp_path / "page.html")


def test_report_is_a_verb_with_figures_beside_it():
    assert callable(nucleate.report)
    assert nucleate.figures.phase_map


def test_of_many_runs_the_first_seeds_are_drawn_and_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("nucleate.reporting.payload.MOST_RUNS", 4)
    study = sweep("sine-5d", out=tmp_path / "study", hidden=GRID["hidden"], seeds=5, **BRIEF)
    for lang, said in (("en", "the first 3 of 5 seeds"), ("ja", "5 個のシードのうち最初の 3 個")):
        page = Reader(report(study, lang=lang, out=tmp_path / "page.html").read_text("utf-8"))
        assert said in page.text
        assert [len(cell["curves"]) for cell in page.data["cells"]] == [3, 3]


def test_a_page_without_the_kept_comparisons_says_so(study, tmp_path):
    folder = copied(study, tmp_path)
    (folder / "judgement.json").unlink()
    with pytest.warns(UserWarning, match="The page does without a narrow network: .* the same sweep makes it again"):
        report(folder, out=tmp_path / "page.html")
