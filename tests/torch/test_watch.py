"""A model is watched while it trains, and trains as if it were not."""

import copy
import html
import json
import logging
import random
import re
import sys
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from nucleate import ArchitectureError, InitScale, NucleateError, SpecError, init_, inspect, watch
from nucleate.inspection import Checkpoints
from nucleate.reporting import LANGUAGES, report_checkpoints
from nucleate.reporting.words import load_texts

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("one_thread")]
nn, functional = torch.nn, torch.nn.functional


def made(seed=0):
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Linear(4, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Dropout(0.1), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 1)
    )
    init_(module, InitScale("gain", 0.05), quiet=True)
    return module


def trained(module, steps=30, watching=None, *, autocast=False, accumulate=1):
    torch.manual_seed(1)
    x = torch.randn(40, 4)
    y = torch.tanh(x[:, :1] - x[:, 1:2])
    optimizer = torch.optim.SGD(module.parameters(), lr=0.3)
    watched = watching(module, x) if watching else None
    for _ in range(steps):
        for _ in range(accumulate):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = ((module(x) - y) ** 2).mean()
                loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if watched is not None:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                watched.step(loss)
    return watched


SETTINGS = {"plain": {}, "autocast": {"autocast": True}, "accumulated gradients": {"accumulate": 2}}


@pytest.mark.parametrize("how", SETTINGS)
def test_training_with_the_watch_is_bit_for_bit_training_without_it(how):
    alone, together = made(), made()
    trained(alone, **SETTINGS[how])
    state = torch.get_rng_state()
    watched = trained(together, watching=watch, **SETTINGS[how])
    assert all(
        torch.equal(*pair) for pair in zip(alone.state_dict().values(), together.state_dict().values(), strict=True)
    )
    assert torch.equal(state, torch.get_rng_state())
    assert together.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in together.modules())
    assert watched.steps == 30


def test_a_record_made_within_autocast_has_the_numbers_of_one_made_outside():
    module, x = made(), torch.randn(40, 4)
    watched = watch(module, x, every=1, distances=False)
    with torch.autocast("cpu", torch.bfloat16):
        watched.step()
    assert watched.latest.table["value"].to_list() == inspect(module, x).table["value"].to_list()


def test_records_are_evenly_spaced_in_the_logarithm_and_have_the_loss():
    watched = trained(made(), watching=watch)
    steps = watched.table["step"].unique().sort().to_list()
    assert steps == [0, 1, 2, 4, 6, 10, 18]
    # The loss is there more often than the measures.
    assert set(steps[1:]) < set(watched.losses) >= set(range(1, 21))
    assert trained(made(), 10, lambda *given: watch(*given, every=4)).table["step"].unique().to_list() == [0, 4, 8]


@pytest.mark.parametrize("kind", ["GPT-2", "Llama", "ResNet", "LSTM", "GRU"])
def test_models_of_every_kind_are_watched_bit_for_bit(kind):
    models = pytest.importorskip("tests.torch.test_modules").MODELS
    draw = torch.Generator().manual_seed(0)
    batch = {
        "ResNet": torch.randn(6, 3, 9, 9, generator=draw),
        "LSTM": torch.randn(4, 5, 3, generator=draw),
        "GRU": torch.randn(4, 5, 3, generator=draw),
    }.get(kind, {"input_ids": torch.randint(0, 20, (4, 6), generator=draw)})

    def after(watching):
        torch.manual_seed(0)
        model = models[kind]().train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        watched = watch(model, batch, every=1) if watching else None
        for _ in range(2):
            optimizer.zero_grad()
            out = model(**batch).logits if isinstance(batch, dict) else model(batch)
            loss = (out[0] if isinstance(out, tuple) else out).square().mean()
            loss.backward()
            optimizer.step()
            if watched is not None:
                watched.step(loss)
        return list(model.state_dict().values()), watched

    (alone, _), (together, watched) = after(False), after(True)
    assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))
    assert watched.table["step"].unique().sort().to_list() == [0, 1, 2]


def test_a_part_may_call_whatever_it_likes_p():
    class Placed(nn.Module):
        def __init__(self):
            super().__init__()
            self.p = nn.Parameter(torch.randn(6, 4))

        def forward(self, x):
            return x + self.p

    module = nn.Sequential(Placed(), nn.Dropout(0.0), nn.Linear(4, 1), nn.Dropout(0.5))
    watched = watch(module, every=50)
    for _ in range(100):
        loss = module(torch.ones(6, 4)).mean()
        watched.step(loss)
    assert watched.evidence.eval_parts == ("Dropout",)


def test_what_reading_a_spectral_norm_or_any_random_number_would_change_stays():
    class Noisy(nn.Module):
        def forward(self, x):
            random.random()
            np.random.rand()  # noqa: NPY002
            return x

    def after(watching):
        torch.manual_seed(0)
        normed = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 6))
        module = nn.Sequential(normed, Noisy(), nn.Tanh(), nn.Linear(6, 1)).train()
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        watched = watch(module, torch.ones(8, 4).cumsum(0), every=1) if watching else None
        for _ in range(3):
            module(torch.ones(5, 4)).sum().backward()
            with torch.no_grad():
                normed.parametrizations.weight.original -= 0.1
            if watched is not None:
                watched.step()
        return list(module.state_dict().values()), random.random(), np.random.rand(), watched  # noqa: NPY002

    (alone, *drawn, _), (together, *drawn_too, watched) = after(False), after(True)
    assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))
    assert drawn == drawn_too
    assert set(watched.table["layer"]) == {"0", "3"}


class Remembering(nn.Module):
    """A recurrent model that goes on from where its last batch ended, and counts its passes."""

    def __init__(self):
        super().__init__()
        self.cell, self.hidden, self.out = nn.RNNCell(4, 6), nn.Linear(6, 6), nn.Linear(6, 1)
        self.state, self.passes = None, 0

    def forward(self, x):
        self.passes += 1
        self.state = self.cell(x, self.state if self.training else None)
        self.features = torch.tanh(self.hidden(self.state))
        return self.out(self.features) / self.passes


def test_what_a_model_keeps_from_one_pass_to_the_next_stays():
    def after(watching):
        torch.manual_seed(0)
        module = Remembering()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        watched = watch(module, torch.ones(8, 4).cumsum(0), every=1) if watching else None
        assert not hasattr(module, "features")
        for _ in range(3):
            optimizer.zero_grad()
            module(torch.randn(5, 4)).pow(2).mean().backward()
            optimizer.step()
            module.state = module.state.detach()
            if watched is not None:
                watched.step()
        return [*module.state_dict().values(), module.state, module.features], module.passes, watched

    (alone, passes, _), (together, passes_too, watched) = after(False), after(True)
    assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))
    assert passes == passes_too == 3
    assert "effective_neurons" in watched.table.filter(layer="hidden")["measure"].to_list()


def test_a_record_can_be_made_at_the_end():
    watched = trained(made(), 30, watch)
    metrics = watched.record()
    assert metrics == watched.metrics() == watched.record()
    assert watched.table["step"].unique().sort().to_list()[-2:] == [18, 30]


def test_names_are_those_of_the_layers():
    watched = trained(made(), 1, watch)
    names = watched.metrics()
    assert {name.split("/")[1] for name in names} == {"0", "4", "6"}
    assert "condensation/4/effective_neurons" in names
    assert names["condensation/0/relative_distance"] > 0
    assert all(isinstance(value, float) for value in names.values())


def test_a_layer_that_condenses_or_dies_is_told_in_the_log(caplog):
    module = nn.Sequential(nn.Linear(4, 20), nn.ReLU(), nn.Linear(20, 1))
    x = torch.randn(30, 4)
    watched = watch(module, x, every=1)
    with caplog.at_level(logging.INFO, "nucleate.watch"):
        with torch.no_grad():
            module[0].weight.copy_(torch.outer(torch.rand(20) + 0.1, torch.randn(4)))
            module[0].bias.zero_()
        watched.step()
        with torch.no_grad():
            module[0].bias.fill_(-100.0)
        watched.step()
    told = [(event.step, event.layer, event.what) for event in watched.events]
    assert (1, "0", "condenses") in told
    assert (2, "0", "dies") in told
    assert "step 1: 0 (linear) condenses" in caplog.text


def test_units_that_do_the_same_on_the_inputs_condense_whichever_way_they_point():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(10, 20, bias=False), nn.Tanh(), nn.Linear(20, 30, bias=False), nn.Tanh(), nn.Linear(30, 1)
    )
    watched = watch(module, torch.randn(60, 10), every=1)
    spread = module[0].weight.detach().clone()
    for weights in (torch.outer(torch.rand(20) + 0.1, 0.1 * torch.randn(10)), spread, torch.zeros(20, 10)):
        with torch.no_grad():
            module[0].weight.copy_(weights)
        watched.step()
    told = [(event.step, event.layer, event.what) for event in watched.events if event.what != "collapses"]
    # The second layer's weights stay as they were; what it is given makes its units do the same.
    assert told == [
        (1, "0", "condenses"), (1, "2", "condenses"), (2, "0", "splits"), (2, "0", "spreads"), (2, "2", "splits"),
        (3, "0", "dies"), (3, "2", "dies"),
    ]  # fmt: skip
    said = {(event.layer, event.what): event.said for event in watched.events}
    assert "of its pairs of units pointed one way, now 100%" in said["0", "condenses"]
    assert re.fullmatch(r"it worked as \d+\.\d neurons, now 1\.\d \(random \d+\.\d\)", said["2", "condenses"])


def test_a_layer_whose_rank_collapses_is_told(caplog):
    module = nn.Sequential(nn.Linear(30, 40), nn.Tanh(), nn.Linear(40, 1))
    watched = watch(module, every=1)
    spread = module[0].weight.detach().clone()
    with caplog.at_level(logging.INFO, "nucleate.watch"), torch.no_grad():
        module[0].weight.copy_(spread[:, :3] @ torch.randn(3, 30))
        watched.step()
        module[0].weight.copy_(spread)
        watched.step()
    told = [(event.step, event.layer, event.what) for event in watched.events]
    assert told == [(1, "0", "collapses"), (2, "0", "spreads")]
    assert "step 1: 0 (linear) collapses: the effective rank of its weights was" in caplog.text


def test_weights_that_become_nan_end_the_record_and_not_the_training():
    module = made()
    watched = watch(module, every=1)
    with torch.no_grad():
        module[0].weight.fill_(float("nan"))
    assert watched.step(1.0) == {}
    assert watched.step(1.0) == {}
    assert [event.what for event in watched.events] == ["can no longer be measured"]
    assert "NaN" in watched.events[0].said


def test_a_record_that_nan_ended_goes_on_from_the_state_that_it_is_set_back_to():
    module = made()
    watching = watch(module)
    for _ in range(4):
        watching.step(1.0)
    weights, state = {name: value.clone() for name, value in module.state_dict().items()}, watching.state_dict()
    with torch.no_grad():
        module[0].weight.fill_(float("nan"))
    assert not any(watching.step(1.0) for _ in range(20))
    module.load_state_dict(weights)
    watching.load_state_dict(state)
    assert [step for step in range(5, 20) if watching.step(1.0)] == [6, 10, 18]
    assert watching.table["step"].unique().sort().to_list() == [0, 1, 2, 4, 6, 10, 18]


def test_a_resumed_training_goes_on_with_the_same_record(tmp_path):
    watched = trained(made(), 12, watch)
    torch.save(watched.state_dict(), tmp_path / "watch.pt")
    again = watch(made(seed=5), torch.randn(40, 4))
    again.load_state_dict(torch.load(tmp_path / "watch.pt", weights_only=False))
    assert again.table.equals(watched.table)
    assert (again.steps, again.losses, again.events) == (watched.steps, watched.losses, watched.events)
    # Distances are from the first start, not from that of the resumed process.
    one, other = (one.state_dict()["start"]["0.weight"] for one in (watched, again))
    assert (one == other).all()
    state = watched.state_dict()
    for broken in ({"steps": 3}, state | {"record": "abc"}, state | {"record": state["record"][:400]}):
        with pytest.raises(SpecError, match="no state of a watch"):
            again.load_state_dict(broken)
    with pytest.raises(SpecError, match="of another model"):
        watch(nn.Linear(3, 2)).load_state_dict(watched.state_dict())
    with pytest.raises(SpecError, match="of another model"):
        watch(nn.Linear(3, 2)).load_state_dict(watched.state_dict() | {"start": {}})


def test_a_compiled_model_trains_bit_for_bit_and_is_compiled_no_more_often():
    from torch._dynamo.testing import CompileCounter

    def after(watching):
        torch._dynamo.reset()
        module, compiled = made(), CompileCounter()
        watched = trained(torch.compile(module, backend=compiled), 6, watching)
        return list(module.state_dict().values()), compiled.frame_count, watched

    (alone, count, _), (together, count_too, watched) = after(None), after(lambda *given: watch(*given, every=2))
    assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))
    assert count == count_too > 0
    assert {name.split("/")[1] for name in watched.metrics()} == {"0", "4", "6"}


def test_frozen_and_tied_parameters_train_bit_for_bit_and_are_measured_once():
    def after(watching):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
        module[2].weight = module[0].weight
        module[4].weight.requires_grad_(False)
        return list(module.parameters()), trained(module, 6, watching)

    (alone, _), (together, watched) = after(None), after(lambda *given: watch(*given, every=1))
    assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))
    assert [parameter.requires_grad for parameter in alone] == [parameter.requires_grad for parameter in together]
    moved = watched.table.filter(measure="relative_distance", step=6)
    assert moved["layer"].to_list() == ["0", "4"]
    # The frozen layer's weights stay, and its bias does not.
    rows = watched.table.filter(measure="norm", layer="4")["value"]
    assert rows.n_unique() == 1
    assert ("2.weight", "it is shared with 0.weight, where it is measured") in watched.latest.left_out.rows()


def test_the_record_is_in_the_folder_and_the_report_command_makes_its_page(tmp_path):
    watched = trained(made(), 3, lambda *given: watch(*given, out=tmp_path / "record"))
    there = Checkpoints.load(tmp_path / "record")
    assert there.steps == (0, 1, 2)
    assert there.table.equals(watched.checkpoints.table)
    for place, picture in watched.latest.pictures.items():
        for kept, drawn in zip(there.pictures[-1][place], picture, strict=True):
            assert (kept == drawn).all()
    page = report_checkpoints(there, "ja", tmp_path / "page.html")
    assert "Sequential" in page.read_text("utf-8")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_tells_the_loss_its_stages_and_what_happened_in_its_language(tmp_path, lang):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.attn = nn.Linear(4, 12), nn.Linear(12, 36)
            self.attn.q_proj = nn.Linear(12, 12)

        def forward(self, x):
            return self.attn.q_proj(torch.tanh(self.first(x)))

    module = Own()
    watched = watch(module, every=1)
    for step in range(1, 60):
        if step == 20:
            with torch.no_grad():
                module.first.weight.copy_(torch.outer(torch.rand(12) + 0.1, torch.randn(4)))
                module.first.bias.zero_()
        watched.step(1.0 if step < 20 else 2.0 ** (19 - step) + 0.1)
    page = report_checkpoints(watched.checkpoints, lang, tmp_path / "page.html").read_text("utf-8")
    body = html.unescape(page[page.index("<body>") : page.index('<script type="application/json"')])
    texts = load_texts(lang)
    for told in ("stage_initial", "stage_descent", "stage_secondary"):
        assert texts["watch"][told] in body
    assert texts["events"]["condenses"] in body
    assert texts["notes"]["parity_activation"].split("{layers}")[1] in body
    assert "--activation" not in body
    if lang == "ja":
        names = {
            "attn", "proj", "first", "weight", "bias", "linear", "query", "activation", "config", "json", "nucleate",
            "cript",
        }  # fmt: skip
        assert set(re.findall("[a-z]{4,}", re.sub("<[^>]+>", " ", body))) <= names


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_shows_the_effective_neurons_of_layers_that_have_some(tmp_path, lang):
    module = made()
    watched = watch(module, torch.randn(40, 4), every=1)
    kept = module[0].weight.detach().clone()
    with torch.no_grad():
        module[0].weight[:] = module[0].weight[:1]
        module[0].bias[:] = module[0].bias[:1]
        watched.step()
        module[0].weight.copy_(kept)
        watched.step()
    page = report_checkpoints(watched.checkpoints, lang, tmp_path / "page.html").read_text("utf-8")
    data = page[page.index('id="data">') + len('id="data">') :]
    first, _, last = json.loads(data[: data.index("</script>")])["layers"]
    rows = watched.table.filter(measure="effective_neurons", layer="0")
    assert first["effective_neurons"] == pytest.approx(rows["value"].to_list(), rel=1e-5)
    assert first["random_neurons"] == pytest.approx(rows["null"].to_list(), rel=1e-5)
    assert last["effective_neurons"] == [None, None, None]
    # What condensed between the first record and the last is in the table too.
    start, least, end = rows["value"]
    assert least == pytest.approx(1.0)
    assert min(start, end) > 1.5
    assert f"<td>{start:.1f} → {least:.1f} → {end:.1f}</td>" in page
    assert load_texts(lang)["checkpoints"]["works_column"] in page
    without = report_checkpoints(watch(made()).checkpoints, lang, tmp_path / "page.html").read_text("utf-8")
    assert 'id="works"' in page
    assert 'id="works"' not in without


def test_without_the_first_loss_no_stages_are_told(tmp_path):
    watched = watch(made(), every=5)
    for step in range(1, 11):
        watched.step()
        if step % 5 == 0:
            watched.note_loss(torch.tensor(1.0 / step))
    assert watched.losses == {5: pytest.approx(0.2), 10: pytest.approx(0.1)}
    page = report_checkpoints(watched.checkpoints, "en", tmp_path / "page.html").read_text("utf-8")
    assert load_texts("en")["watch"]["no_stages"] in page


def test_the_folder_s_record_is_whole_after_every_step_and_grows_by_pieces(tmp_path):
    folder, module = tmp_path / "record", made()
    x = torch.randn(8, 4)
    watched = watch(module, x, every=1, out=folder)
    kept = set()
    for _ in range(40):
        with torch.no_grad():
            module[0].weight.mul_(1.2)
        # As a compiled step does with what it returned.
        loss = torch.ones(())
        watched.step(loss)
        loss.zero_()
        kept.add((folder / "record.safetensors").stat().st_mtime_ns)
    there = Checkpoints.load(folder)
    assert there.steps == tuple(range(41))
    assert there.table.equals(watched.checkpoints.table)
    assert [list(at) for at in there.pictures] == [list(at) for at in watched.checkpoints.pictures]
    assert there.losses == watched.losses == dict.fromkeys(range(1, 41), 1.0)
    assert (there.events, there.watched) == (tuple(watched.events), True)
    # What is there is not written again.
    assert len(kept) == 1
    # Another record in the folder knows the pieces of this one as not its own.
    pieces = {piece.name: piece.read_bytes() for piece in (folder / "pieces").iterdir()}
    watch(made(), x, out=folder)
    for name, content in pieces.items():
        (folder / "pieces" / name).write_bytes(content)
    assert pieces
    assert Checkpoints.load(folder).steps == (0,)


def test_chance_is_drawn_anew_once_it_has_become_another():
    module = nn.Sequential(nn.Linear(30, 40, bias=False), nn.Tanh(), nn.Linear(40, 1))
    x = torch.randn(50, 30)
    watched = watch(module, x, every=1)

    def null(measure):
        return watched.latest.table.filter(layer="0", measure=measure)["null"].item()

    first = {measure: null(measure) for measure in ("singular_value_1", "stable_rank", "effective_neurons")}
    with torch.no_grad():
        module[0].weight.mul_(3.0)
    watched.step()
    assert null("singular_value_1") == pytest.approx(3 * first["singular_value_1"])
    assert null("stable_rank") == pytest.approx(first["stable_rank"])
    assert null("effective_neurons") != first["effective_neurons"]
    with torch.no_grad():
        module[0].weight[:20].mul_(10.0)
    watched.step()
    fresh = inspect(module, x).table.filter(layer="0", measure="stable_rank")["null"].item()
    assert null("stable_rank") == pytest.approx(fresh)
    assert fresh != pytest.approx(first["stable_rank"], rel=0.1)
    with torch.no_grad():
        module[0].weight[:20].mul_(1.08)
    watched.step()
    assert null("stable_rank") == pytest.approx(fresh)
    now = inspect(module, x).table.filter(layer="0", measure="singular_value_1")["null"].item()
    assert null("singular_value_1") == pytest.approx(now, rel=0.05)
    with torch.no_grad():
        module[0].weight[:20].mul_(1.08)
    watched.step()
    now = inspect(module, x).table.filter(layer="0", measure="singular_value_1")["null"].item()
    assert null("singular_value_1") == pytest.approx(now)


REFUSED = {
    "a path": (lambda: watch("model.safetensors"), ArchitectureError, "does not train"),
    "no model": (lambda: watch(3), ArchitectureError, "no model"),
    "no layer": (lambda: watch(nn.LayerNorm(3)), ArchitectureError, "no layer that can be measured"),
    "every 0": (lambda: watch(made(), every=0), SpecError, "is 0"),
    "a negative seed": (lambda: watch(made(), seed=-1), SpecError, "is -1"),
    "a name that is none": (lambda: watch(made(), name=3), SpecError, "'name' is 3"),
    "no folder": (lambda: watch(made(), out=3), SpecError, "is 3"),
    "words as inputs": (lambda: watch(made(), "words"), ArchitectureError, "no numbers"),
    "a loss of each row": (lambda: watch(made()).step(torch.ones(3)), SpecError, "The loss of the step"),
    "inputs that do not fit": (lambda: watch(made(), torch.randn(3, 7)), NucleateError, "inputs"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_watched_is_refused_at_once(what):
    call, kind, says = REFUSED[what]
    with pytest.raises(kind, match=says):
        call()


def test_its_state_is_loaded_by_torch_load_as_it_is_set_by_default(tmp_path):
    watched = watch(made())
    torch.save({"watch": watched.state_dict()}, tmp_path / "checkpoint.pt")
    again = watch(made())
    again.load_state_dict(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["watch"])
    assert again.table.equals(watched.table)


def test_a_host_s_settings_are_checked_before_training():
    pytest.importorskip("lightning")
    from nucleate import CondensationMonitor

    with pytest.raises(SpecError, match="no setting 'evry'"):
        CondensationMonitor(evry=3)


def test_tensorboard_shows_the_metrics_by_layer(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    watched, writer = watch(made(), every=2), SummaryWriter(str(tmp_path))
    for step in range(1, 5):
        for name, value in watched.step(1.0).items():
            writer.add_scalar(name, value, step)
    writer.close()
    told = EventAccumulator(str(tmp_path)).Reload().Scalars("condensation/4/effective_rank")
    assert [one.step for one in told] == [2, 4]
    assert told[-1].value == pytest.approx(watched.metrics()["condensation/4/effective_rank"])


def test_lightning_logs_it_and_resumes_it(tmp_path):
    lightning = pytest.importorskip("lightning")
    from lightning.pytorch.loggers import CSVLogger

    from nucleate import CondensationMonitor

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = made()

        def training_step(self, batch, index):
            x, y = batch
            return ((self.net(x) - y) ** 2).mean()

        def forward(self, x):
            return self.net(x)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    rows = torch.utils.data.TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}

    def run(epochs, accumulate=1, **more):
        monitor = CondensationMonitor(torch.randn(10, 4))
        logger = CSVLogger(tmp_path)
        trainer = lightning.Trainer(
            max_epochs=epochs, callbacks=[monitor], logger=logger, default_root_dir=tmp_path,
            accumulate_grad_batches=accumulate, **quiet,
        )  # fmt: skip
        trainer.fit(Module(), torch.utils.data.DataLoader(rows, batch_size=8), **more)
        return trainer, monitor, logger

    trainer, monitor, logger = run(1)
    assert monitor.watch.steps == 4
    logged = pl.read_csv(tmp_path / logger.name / "version_0" / "metrics.csv")
    told = logged.filter(pl.col("condensation/net.0/effective_neurons").is_not_null())
    assert told["step"].to_list() == [0, 1, 2, 4]
    assert told["condensation/net.0/effective_rank"][-1] == monitor.watch.metrics()["condensation/net.0/effective_rank"]
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    _, again, _ = run(4, ckpt_path=tmp_path / "last.ckpt", weights_only=False)
    # The last step has a record, though none is due there.
    assert again.watch.steps == 16 == max(again.watch.table["step"])
    assert set(monitor.watch.table["step"]) < set(again.watch.table["step"])
    # Of two batches whose gradients are accumulated there is one step.
    assert run(1, accumulate=2)[1].watch.steps == 2


def test_hugging_face_s_trainer_logs_it(tmp_path, capsys):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from nucleate import CondensationCallback

    config = transformers.GPT2Config(
        n_layer=1, n_head=2, n_embd=8, n_positions=6, vocab_size=20, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config)
    tokens = torch.randint(0, 20, (16, 6))
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    arguments = transformers.TrainingArguments(
        str(tmp_path), max_steps=5, per_device_train_batch_size=4, report_to="none", use_cpu=True, disable_tqdm=True,
        save_steps=4, restore_callback_states_from_checkpoint=True,
    )  # fmt: skip

    def run(**more):
        trainer = transformers.Trainer(model, arguments, train_dataset=rows)
        callback = CondensationCallback({"input_ids": tokens[:4]}).of(trainer)
        trainer.add_callback(callback)
        trainer.train(**more)
        return trainer, callback

    trainer, callback = run()
    assert callback.watch.steps == 5
    _, again = run(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert again.watch.table["step"].unique().to_list() == [0, 1, 2, 4, 5]
    assert "relative_distance" in again.watch.table.filter(step=4)["measure"]
    assert "relative_distance" not in again.watch.table.filter(step=5)["measure"]
    name = "condensation/transformer.h.0.mlp.c_fc/effective_rank"
    assert [entry["step"] for entry in trainer.state.log_history if name in entry] == [0, 1, 2, 4, 5]
    # The loggers have it, and the screen has not the metrics of every layer at each record.
    printed = capsys.readouterr().out
    assert "condensation" not in printed
    assert "train_runtime" in printed
    # What is logged after the end would begin another run of MLflow.
    assert "train_runtime" in trainer.state.log_history[-1]


def test_a_callback_that_knows_no_trainer_says_that_it_logs_nothing(caplog):
    pytest.importorskip("transformers")
    from nucleate import CondensationCallback

    callback = CondensationCallback()
    callback.on_train_begin(None, None, None, model=made())
    assert "as it knows no trainer; add it by trainer.add_callback" in caplog.text
    caplog.clear()

    class Trainer:
        callback_handler = SimpleNamespace(callbacks=[])

        def log(self, metrics):
            self.logged = metrics

    trainer = Trainer()
    callback.of(trainer).on_train_begin(None, None, None, model=made())
    assert not caplog.text
    assert trainer.logged == callback.watch.metrics()


class Scaled(nn.Module):
    """A model that holds another one as its ``module`` and does more than that."""

    def __init__(self):
        super().__init__()
        self.module = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 1))

    def forward(self, x):
        return self.module(x / 100)


@pytest.mark.parametrize("wrap", [lambda model: model, nn.DataParallel, torch.optim.swa_utils.AveragedModel])
def test_a_model_of_one_s_own_that_holds_another_is_given_the_inputs_itself(wrap):
    torch.manual_seed(0)
    model, x = Scaled(), 100 * torch.randn(40, 4)
    assert watch(wrap(model), x, distances=False).latest.table.equals(inspect(model, x).table)


@pytest.mark.skipif(sys.platform == "win32", reason="gloo needs POSIX")
def test_of_two_processes_the_first_alone_records(tmp_path):
    torch.multiprocessing.spawn(_one_of_two, args=(str(tmp_path),), nprocs=2)
    first, second = ((tmp_path / f"records-{rank}").read_text() for rank in (0, 1))
    assert "4 records" in first
    assert "0 records" in second


def _one_of_two(rank, folder):
    from pathlib import Path

    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)

    def after(watching):
        torch.manual_seed(0)
        module = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)))
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        watched = watch(module, torch.ones(8, 4).cumsum(0), every=1) if watching else None
        torch.manual_seed(rank)
        for _ in range(3):
            optimizer.zero_grad()
            module(torch.randn(8, 4)).pow(2).mean().backward()
            optimizer.step()
            if watched is not None:
                watched.step()
        return list(module.state_dict().values()), watched

    (alone, _), (together, watched) = after(False), after(True)
    assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))
    (Path(folder) / f"records-{rank}").write_text(repr(watched))
    # What no process has whole is refused in each of them, so that none waits for the first.
    sharded = FullyShardedDataParallel(nn.Sequential(nn.Linear(4, 8)), device_id=torch.device("cpu"))
    with pytest.raises(ArchitectureError, match="The model is wrapped in FullyShardedDataParallel"):
        watch(sharded)
    with pytest.raises(ArchitectureError, match="it is sharded over processes"):
        watch(fully_shard(nn.Sequential(nn.Linear(4, 8)), mesh=init_device_mesh("cpu", (2,))))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_output_layer_of_a_sequential_lacks_no_activation(outputs):
    module = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, outputs))
    with torch.no_grad():
        # One direction, so that it would matter which way the vectors point.
        module[2].weight[:] = torch.arange(1.0, outputs + 1)[:, None]
    found = inspect(module)
    assert not [note for note in found.notes if "activation" in note]


class Followed(nn.Module):
    """Layers that name their activations in the forward pass alone."""

    def __init__(self):
        super().__init__()
        self.odd, self.neither = nn.Linear(4, 8), nn.Linear(8, 8)
        self.linear, self.both = nn.Linear(8, 8), nn.Linear(8, 8)
        self.outputs = nn.Linear(8, 3)
        for layer in self.children():
            with torch.no_grad():
                layer.weight[:] = torch.arange(-3.5, 4.0)[: len(layer.weight), None]
                layer.bias.zero_()

    def forward(self, x):
        x = functional.dropout(self.neither(self.odd(x).tanh()), training=self.training)
        x = self.linear(torch.relu(x))
        both = self.both(functional.softsign(x))
        return self.outputs(torch.tanh(both) + functional.relu(both))


def test_on_inputs_the_activation_is_read_off_the_forward_pass():
    found = inspect(Followed(), torch.randn(20, 4))
    directions = found.table.filter(measure="directions").select("layer", "value").rows()
    assert directions == [("odd", 1), ("neither", 2), ("linear", 1), ("both", 2), ("outputs", 1)]
    (said,) = [note for note in found.notes if "activation" in note]
    assert said.startswith("Opposite vectors count as two directions in both, whose activation is not known")
    watching = watch(Followed(), torch.randn(20, 4))
    assert watching.latest.table.filter(measure="directions")["value"].to_list() == [1, 2, 1, 2, 1]
    # Without inputs no forward pass is followed, which could change what the model keeps of its last one.
    (said,) = [note for note in inspect(Followed()).notes if "activation" in note]
    assert "in odd, neither, linear and 2 more, whose activation is not known" in said


@pytest.mark.parametrize("look", [inspect, watch])
def test_weights_that_are_nan_are_told_what_fits_a_model_in_memory(look):
    module = made()
    with torch.no_grad():
        module[0].weight[0, 0] = float("nan")
    with pytest.raises(ArchitectureError, match=r"1 number that is NaN or infinite.*; give weights that are finite"):
        look(module)


Batch = namedtuple("Batch", ["input"])


@pytest.mark.parametrize("batch", ["a tensor", "a tuple", "a named tuple", "a list", "a dict"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_that_is_converted_on_the_way_is_measured_on_its_inputs_still(dtype, batch):
    module, x = made(), torch.randn(64, 4)
    kinds = {"a tensor": x, "a tuple": (x,), "a named tuple": Batch(x), "a list": [x], "a dict": {"input": x}}
    watching = watch(module, inputs=kinds[batch])
    module.to(dtype)
    watching.step()
    assert not watching.events
    measured = watching.table.filter(measure="effective_neurons")
    assert measured["step"].unique().sort().to_list() == [0, 1]


def test_a_model_of_which_a_copy_is_trained_instead_is_said_to_stand_still_once(caplog):
    module = made()
    watching = watch(module)
    with caplog.at_level(logging.INFO, logger="nucleate.watch"):
        trained(module, 20, lambda *_: watching)
        trained(copy.deepcopy(module), 300, lambda *_: watching)
    (still,) = [event for event in watching.events if event.what == "stands still"]
    assert str(still) == (
        "step 100: Sequential (model) stands still: no weight has moved since step 32; watch the model that the "
        "optimizer trains, at each step it takes"
    )
    assert str(still) in caplog.text
    trained(module, 200, lambda *_: watching)
    trained(copy.deepcopy(module), 1500, lambda *_: watching)
    assert [event.what for event in watching.events].count("stands still") == 2


def test_a_model_that_is_trained_does_not_stand_still():
    module = made()
    watching = watch(module, every=10)
    trained(module, 150, lambda *_: watching)
    assert "stands still" not in [event.what for event in watching.events]


class Prompted(nn.Module):
    """Has parameters of every kind, of which the norms of a record are not."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.last = nn.Linear(4, 12), nn.LayerNorm(12), nn.Linear(12, 1)
        self.prompt, self.stack = nn.Parameter(torch.zeros(12)), nn.Parameter(torch.randn(2, 12, 12) / 12)
        self.turn = nn.Parameter(torch.ones(12, dtype=torch.complex64))

    def forward(self, x):
        hidden = (self.norm(torch.tanh(self.first(x)) + self.prompt) * self.turn).real
        return self.last(torch.einsum("nu,kuv->nv", hidden, self.stack))


@pytest.mark.parametrize("name", ["first.bias", "norm.weight", "norm.bias", "prompt", "stack", "turn"])
def test_a_model_of_which_a_bias_a_norm_or_a_prompt_is_trained_does_not_stand_still(name):
    module = Prompted()
    for own, parameter in module.named_parameters():
        parameter.requires_grad_(own == name)
    watching = watch(module, every=10)
    trained(module, 150, lambda *_: watching)
    assert "stands still" not in [event.what for event in watching.events]


@pytest.mark.parametrize(("steps", "said"), [(400, 0), (1100, 1)])
@pytest.mark.parametrize("every", [None, 50])
def test_gradients_that_are_gathered_are_no_weights_that_stand_still(every, steps, said, caplog):
    module = made()
    watching = watch(module, every=every)
    x = torch.randn(64, 4)
    with caplog.at_level(logging.INFO, logger="nucleate.watch"):
        for step in range(steps):
            loss = module(x[step % 8 :: 8]).square().mean()
            loss.backward()
            watching.step(loss)
    assert [event.what for event in watching.events].count("stands still") == said
    assert ("stands" in caplog.text) == bool(said)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_where_not_all_parameters_can_be_read_those_that_are_measured_are_said_to_stand_still(lang, tmp_path):
    module = made()
    module.beside = nn.Parameter(torch.eye(3).to_sparse())
    watching = watch(module)
    for _ in range(100):
        watching.step()
    (still,) = [event for event in watching.events if event.what == "stands still"]
    assert still.said == (
        "no weight that is measured has moved since step 0; watch the model that the optimizer trains, at each step it "
        "takes"
    )
    page = report_checkpoints(watching.checkpoints, lang, tmp_path / "page.html").read_text("utf-8")
    said = load_texts(lang)["said"]["still_measured"].format(since="0")
    assert html.escape(said) in page
