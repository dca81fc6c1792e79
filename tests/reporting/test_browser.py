"""The page in a real browser: it draws, the slider moves, fields are chosen by mouse and keys, nothing complains."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from nucleate import inspect, report, sweep
from nucleate.problems import Loss
from nucleate.reporting import LANGUAGES, report_checkpoints
from nucleate.reporting.words import load_texts

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --disable-dev-shm-usage"
)
PHONE = {"width": 375, "height": 812, "deviceScaleFactor": 1, "mobile": True}
DESK = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (BROWSER and DRIVER), reason="there is no browser; on Debian: apt-get install chromium chromium-driver"
    ),
]


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    return {lang: report(study, lang, folder / f"{lang}.html") for lang in LANGUAGES}


@pytest.fixture(params=LANGUAGES)
def page(request, browser, pages):
    """The page of each language, freshly opened; afterwards nothing may have been complained of."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", DESK)
    browser.get(Path(pages[request.param]).as_uri())
    yield browser
    assert browser.get_log("browser") == []


def drawn(page):
    """What the three pictures of a step show now."""
    return page.execute_script(
        "return ['directions', 'heat', 'singular'].map(id => JSON.stringify([...document.getElementById(id).data].map("
        "trace => [trace.r, trace.theta, trace.z, trace.y])))"
    )


def chosen(page):
    return page.execute_script(
        "return [[...document.querySelectorAll('[data-cell][aria-pressed=true]')].map(b => b.dataset.cell), "
        "document.getElementById('cell').value, "
        "[...document.querySelectorAll('[data-runs]')].filter(rows => !rows.hidden).map(rows => rows.dataset.runs)]"
    )


def test_all_four_pictures_are_drawn_and_described(page):
    for name in ("loss", "directions", "heat", "singular"):
        plot = page.find_element(By.ID, name)
        assert plot.find_elements(By.CSS_SELECTOR, "svg.main-svg")
        assert len(plot.get_attribute("aria-label")) > 20
        assert "{" not in plot.get_attribute("aria-label")
    lang = page.execute_script("return document.documentElement.lang")
    assert load_texts(lang)["answer"]["heading"] in page.find_element(By.TAG_NAME, "main").text


def test_the_slider_moves_three_pictures_by_keyboard(page):
    slider = page.find_element(By.ID, "snapshot")
    slider.send_keys(Keys.HOME)
    before, said = drawn(page), page.find_element(By.ID, "snapshot-said").text
    slider.send_keys(Keys.END)
    after = drawn(page)
    assert all(first != last for first, last in zip(before, after, strict=True))
    assert page.find_element(By.ID, "snapshot-said").text != said
    assert "60" in slider.get_attribute("aria-valuetext")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_of_checkpoints_draws_each_step_and_layer(browser, lang, tmp_path):
    rng = np.random.default_rng(0)
    for step in (0, 10):
        arrays = {"fc.weight": rng.standard_normal((9, 5)), "attn.q_proj.weight": rng.standard_normal((6, 5))}
        save_file(arrays, tmp_path / f"step-{step}.safetensors")
    found = inspect(f"{tmp_path}/step-*.safetensors")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", DESK)
    browser.get(report_checkpoints(found, lang, tmp_path / "page.html").as_uri())
    for name in ("directions", "heat", "singular", "change", "rank"):
        plot = browser.find_element(By.ID, name)
        assert plot.find_elements(By.CSS_SELECTOR, "svg.main-svg")
        assert "{" not in plot.get_attribute("aria-label")
    last = drawn(browser)
    browser.find_element(By.ID, "snapshot").send_keys(Keys.HOME)
    start = drawn(browser)
    assert all(one != other for one, other in zip(start, last, strict=True))
    Select(browser.find_element(By.ID, "layer")).select_by_index(1)
    assert all(one != other for one, other in zip(start, drawn(browser), strict=True))
    assert browser.get_log("browser") == []
    # A watch has losses too, and where it was given inputs, the effective neurons of some layers.
    works = found.table.filter(layer="fc", measure="norm").with_columns(pl.lit("effective_neurons").alias("measure"))
    table, losses = pl.concat([found.table, works]), {1: 2.0, 3: 0.4, 11: 0.05}
    watched = replace(found, table=table, losses=losses, watched=True)
    browser.get(report_checkpoints(watched, lang, tmp_path / "page.html").as_uri())
    for layer, (name, _) in enumerate(found.pictures[0]):
        Select(browser.find_element(By.ID, "layer")).select_by_index(layer)
        for plot in ("works", "loss"):
            assert browser.find_element(By.ID, plot).find_elements(By.CSS_SELECTOR, "svg.main-svg")
        line = browser.execute_script("return document.getElementById('works').data[1].y")
        assert line == (pytest.approx(works["value"].to_list(), rel=1e-5) if name == "fc" else [None, None])
        label = browser.find_element(By.ID, "works").get_attribute("aria-label")
        assert name in label
        assert "{" not in label
    marks = [mark.text for mark in browser.find_elements(By.CSS_SELECTOR, "#loss .ytick text")]
    assert {"0.1", "0.5", "1"} <= set(marks)
    assert browser.get_log("browser") == []


def test_another_layer_is_drawn(page):
    before = drawn(page)
    Select(page.find_element(By.ID, "layer")).select_by_index(1)
    assert all(first != last for first, last in zip(before, drawn(page), strict=True))


def test_a_field_is_chosen_by_a_click(page):
    before = drawn(page)
    field = page.find_element(By.CSS_SELECTOR, "[data-cell='1']")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", field)
    field.click()
    assert chosen(page) == [["1", "1"], "1", ["1"]]
    assert drawn(page) != before


def test_a_field_is_chosen_by_keys_and_by_the_list(page):
    first = page.find_element(By.CSS_SELECTOR, "[data-map] button[tabindex='0']")
    page.execute_script("arguments[0].focus()", first)
    around = {Keys.ARROW_LEFT, Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.ARROW_DOWN}
    reached = {first.get_attribute("data-cell")}
    for key in around:
        page.switch_to.active_element.send_keys(key)
        reached.add(page.switch_to.active_element.get_attribute("data-cell"))
    assert len(reached) > 1
    page.switch_to.active_element.send_keys(Keys.ENTER)
    cell = page.switch_to.active_element.get_attribute("data-cell")
    assert chosen(page) == [[cell, cell], cell, [cell]]
    Select(page.find_element(By.ID, "cell")).select_by_value("5")
    assert chosen(page) == [["5", "5"], "5", ["5"]]


def test_nothing_is_asked_of_a_network(page):
    page.get_log("performance")
    page.refresh()
    Select(page.find_element(By.ID, "layer")).select_by_index(1)
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert any(url.startswith("file:") for url in asked)
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)


def test_nothing_is_wider_than_a_phone(page):
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    page.refresh()
    assert page.execute_script("return document.documentElement.scrollWidth") <= 375


def test_it_prints(page):
    printed = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(printed["data"]) > 20_000


def test_the_marks_of_a_flat_loss_do_not_lie_over_each_other(browser, tmp_path):
    study = sweep("iris", gains=[0.001], hidden=[8, 8], steps=20, out=tmp_path / "study", progress=False)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", DESK)
    browser.get(report(study, "en", tmp_path / "flat.html").as_uri())
    marks = browser.execute_script(
        "return [...document.querySelectorAll('#loss .ytick text')].map((mark) => mark.getBoundingClientRect())"
    )
    marks.sort(key=lambda mark: mark["top"])
    assert len(marks) > 2
    assert all(above["bottom"] <= below["top"] for above, below in pairwise(marks))


def of_small_outputs(outputs, y):
    return jnp.sum(jnp.where(jnp.abs(outputs) > 4, jnp.nan, 0.5 * (outputs - y) ** 2), axis=1)


def test_a_cell_whose_losses_are_nan_at_their_start_has_an_empty_curve(browser, tmp_path):
    grid = {"gains": [100.0, 0.5], "hidden": [6, 5], "steps": 40, "progress": False}
    study = sweep("sine-5d", loss=Loss("bounded", of_small_outputs), out=tmp_path / "study", **grid)
    assert study.results["status"].to_list() == ["nan", "finished"]
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", DESK)
    browser.get(report(study, out=tmp_path / "page.html").as_uri())
    curve = "return document.getElementById('loss').data[0].y"
    assert len(browser.execute_script(curve)) > 3
    browser.find_element(By.CSS_SELECTOR, "[data-cell='0']").click()
    assert chosen(browser)[1] == "0"
    assert browser.execute_script(curve) == []
    assert "from — to — for the first seed" in browser.find_element(By.ID, "loss").get_attribute("aria-label")
    assert browser.get_log("browser") == []
