"""What an inspection measures is what NumPy's SVD, planted directions and `nucleate.observe` say of those weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neural_network import MLPClassifier, MLPRegressor

from nucleate import ArchitectureError, InitScale, Network, NucleateError, SpecError, inspect
from nucleate.inspection.measuring import values_on_data
from nucleate.observe import alike, measure
from nucleate.sources.source import Activity

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 5))


def value(found, measure, column="value", **where):
    """The one value of a measure; of one layer where a name is given."""
    return found.table.filter(measure=measure, **where)[column].item()


def planted(directions, units, entries, noise=0.0, seed=1):
    """Units along so many random directions, a different length each, in turn."""
    rng = np.random.default_rng(seed)
    axes = rng.standard_normal((directions, entries))
    lengths = rng.uniform(0.5, 2.0, (units, 1))
    return lengths * axes[np.arange(units) % directions] + noise * rng.standard_normal((units, entries))


@pytest.mark.parametrize("directions", [1, 3, 9])
@pytest.mark.parametrize("entries", [40, 400])
def test_planted_directions_are_counted_and_chance_makes_none(directions, entries):
    found = inspect({"w": planted(directions, 90, entries, noise=1e-3)})
    assert value(found, "directions") == directions
    assert value(found, "directions", "null") == 90
    assert value(found, "condensed_pairs") == pytest.approx((90 / directions - 1) / 89)
    assert value(found, "condensed_pairs", "null") < 1e-12


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (320, 300), (1, 9), (700, 270)])
def test_ranks_and_singular_values_are_those_of_an_svd(shape):
    weights = RNG.standard_normal(shape) * np.geomspace(1, 1e-3, shape[1])
    singular = np.linalg.svd(weights, compute_uv=False)
    share = singular / singular.sum()
    found = inspect({"w": weights})
    assert value(found, "stable_rank") == pytest.approx((weights**2).sum() / singular[0] ** 2, rel=1e-9)
    assert value(found, "effective_rank") == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-6)
    for index, one in enumerate(singular[:4], 1):
        assert value(found, f"singular_value_{index}") == pytest.approx(one, rel=1e-9)
    assert value(found, "norm") == pytest.approx(np.linalg.norm(weights), rel=1e-12)


def test_the_null_has_the_row_norms_of_the_layer():
    sizes = np.geomspace(1, 1e-4, 40)
    found = inspect({"w": sizes[:, None] * planted(1, 40, 60)})
    weights = sizes[:, None] * planted(1, 40, 60)
    drawn = np.random.default_rng(5).standard_normal((200, 40, 60))
    drawn *= (np.linalg.norm(weights, axis=1) / np.linalg.norm(drawn, axis=2))[:, :, None]
    stable = (weights**2).sum() / np.linalg.svd(drawn, compute_uv=False)[:, 0] ** 2
    assert stable.min() <= value(found, "stable_rank", "null") <= stable.max()


def test_chance_of_condensed_pairs_is_the_share_among_random_vectors():
    found = inspect({"w": RNG.standard_normal((50, 3))})
    drawn = np.random.default_rng(2).standard_normal((2000, 3))
    unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    share = (np.abs(unit @ unit.T) > 0.9)[np.triu_indices(2000, 1)].mean()
    assert value(found, "condensed_pairs", "null") == pytest.approx(share, rel=0.05)


@given(st.integers(-280, 280), st.integers(0, 3))
def test_measures_do_not_depend_on_the_scale(power, seed):
    weights = planted(4, 12, 6, noise=0.1, seed=seed)
    plain, small = inspect({"w": weights}), inspect({"w": weights * 10.0**power})
    for name in ("directions", "condensed_pairs", "stable_rank", "effective_rank"):
        assert value(small, name) == pytest.approx(value(plain, name), rel=1e-9)
    assert value(small, "norm") == pytest.approx(value(plain, "norm") * 10.0**power, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-36, 1.0, 1e36])
@pytest.mark.parametrize("shape", [(90, 40), (30, 60)])
def test_single_precision_says_what_double_says_at_any_scale(shape, scale):
    sizes = np.geomspace(1, 1e-3, shape[0])[:, None]
    arrays = {
        "a.weight": sizes * planted(7, *shape, noise=0.05),
        "b.weight": RNG.standard_normal(shape),
        "a.bias": RNG.standard_normal(shape[0]),
    }
    single = {name: (scale * array).astype(np.float32) for name, array in arrays.items()}
    double = {name: array.astype(np.float64) for name, array in single.items()}
    now, then = (
        inspect(weights, reference={**weights, "a.bias": 0 * weights["a.bias"]}) for weights in (single, double)
    )
    for name in ("directions", "condensed_pairs"):
        rows = [found.table.filter(measure=name)["value"].to_list() for found in (now, then)]
        assert rows[0] == rows[1]
    for name in ("effective_rank", "stable_rank", "norm", "singular_value_3", "relative_distance"):
        rows = [found.table.filter(measure=name)["value"].to_list() for found in (now, then)]
        assert rows[0] == pytest.approx(rows[1], rel=1e-6), name
    for place, picture in then.pictures.items():
        assert now.pictures[place].cosine == pytest.approx(picture.cosine, abs=2e-6)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_network_is_measured_as_observe_measures_it(activation):
    start = Network.create(5, [30, 20], 2, scale=InitScale("gain", 0.5), activation=activation, bias=True)
    network = Network.create(5, [30, 20], 2, scale=InitScale("gain", 0.5), activation=activation, bias=True, seed=1)
    found, expected = inspect(network, X, reference=start), measure(network, start, X)
    for layer in (1, 2):
        for name in (
            "effective_neurons",
            "merging_loss",
            "directions",
            "condensed_pairs",
            "stable_rank",
            "effective_rank",
            "relative_distance",
            "amplitude",
        ):
            here = value(found, name, layer=f"weights.{layer - 1}")
            assert here == pytest.approx(expected[f"{name}_{layer}"], rel=1e-9), name


@pytest.mark.parametrize("kind", [MLPRegressor, MLPClassifier])
@pytest.mark.parametrize("activation", ["tanh", "relu", "logistic", "identity"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fitted_mlp_of_scikit_learn(kind, activation):
    model = kind(hidden_layer_sizes=(8, 6), activation=activation, max_iter=2, random_state=0).fit(X, X[:, 0] > 0)
    found = inspect(model, X)
    assert found.layers["units"].to_list() == [8, 6, 1]
    assert value(found, "norm", layer="coefs_.0") == pytest.approx(np.linalg.norm(model.coefs_[0]))
    assert 1 <= value(found, "effective_neurons", layer="coefs_.1") <= 6


def test_opposite_vectors_are_one_direction_where_the_activation_is_odd():
    weights = {"w": np.outer([1.0, -2.0, 3.0, -0.5], [1.0, 2.0])}
    unknown, odd = inspect(weights), inspect(weights, activation="tanh")
    assert (value(unknown, "directions"), value(odd, "directions")) == (2, 1)
    assert "Opposite vectors count as two directions in w" in unknown.notes[0]
    assert odd.notes == ()


def test_dead_units_are_said_and_have_no_direction():
    found = inspect({"w": np.vstack([np.eye(3), np.zeros((2, 3))])})
    assert value(found, "zero_units") == 2
    assert value(found, "directions") == 3


def test_all_zeros_are_no_failure():
    found = inspect({"w": np.zeros((4, 3))})
    assert (value(found, "directions"), value(found, "effective_rank"), value(found, "norm")) == (0, 0, 0)
    assert "-0" not in str(found)


def test_of_a_wide_layer_a_sample_tells_with_its_error():
    condensed, random = planted(5, 3000, 30, noise=1e-4), RNG.standard_normal((3000, 30))
    found = inspect({"condensed": condensed, "random": random})
    assert value(found, "directions", layer="condensed") == 5
    assert value(found, "directions", layer="random") == pytest.approx(3000)
    unit = condensed / np.linalg.norm(condensed, axis=1, keepdims=True)
    exact = (np.abs(unit @ unit.T) > 0.9)[np.triu_indices(3000, 1)].mean()
    said, error = (value(found, "condensed_pairs", column, layer="condensed") for column in ("value", "error"))
    assert 0 < error < 0.01
    assert abs(said - exact) < 5 * error
    assert inspect({"w": random[:2000]}).table["error"].null_count() == len(inspect({"w": random[:2000]}).table)


def test_a_pair_that_a_sample_misses_is_within_its_error():
    weights = np.random.default_rng(5).standard_normal((3000, 30))
    weights[1] = weights[0]
    exact = 2 / (3000 * 2999)
    found = [inspect({"w": weights}, seed=seed) for seed in range(4)]
    said = [[value(one, "condensed_pairs", column) for column in ("value", "error")] for one in found]
    assert 0 in [share for share, _ in said]
    assert all(abs(share - exact) <= 2 * error for share, error in said)


@pytest.mark.parametrize("sizes", ["one", "few", "uneven"])
def test_a_sample_of_units_does_not_miss_those_that_do_most_of_the_work(sizes):
    rng = np.random.default_rng(4)
    leaving, outgoing = rng.standard_normal((3000, 64)), rng.standard_normal((3000, 4))
    outgoing *= {
        "one": np.where(np.arange(3000) == 7, 1e5, 1.0),
        "few": np.where(np.arange(3000) < 5, 1e4, 1.0),
        "uneven": np.exp(2 * rng.standard_normal(3000)),
    }[sizes][:, None]
    exact = alike(leaving, outgoing).effective_neurons
    for seed in range(4):
        values = {one.measure: one for one in values_on_data(Activity(leaving, outgoing), None, seed)}
        said = values["effective_neurons"]
        assert said.error < 0.05 * exact
        assert abs(said.value - exact) <= 3 * said.error + 1e-9 * exact


def test_names_and_shapes_tell_the_units_of_gpt2():
    width, names = 6, ("query", "key", "value")
    fused, bias = RNG.standard_normal((width, 3 * width)), RNG.standard_normal(3 * width)
    found = inspect({"h.0.attn.c_attn.weight": fused, "h.0.attn.c_attn.bias": bias, "h.0.ln_1.weight": np.ones(6)})
    assert found.layers["kind"].to_list() == list(names)
    for kind, part in zip(names, np.split(fused.T, 3), strict=True):
        assert value(found, "norm", kind=kind) == pytest.approx(np.linalg.norm(part))
    assert found.left_out.rows() == [("h.0.ln_1.weight", "a single number or a vector, which has no units to compare")]
    assert "How many heads there are is not known in h.0.attn.c_attn" in found.notes[-1]


def test_kernels_are_flattened_and_transposed_ones_the_right_way_round():
    kernels = RNG.standard_normal((4, 3, 2, 2))
    found = inspect(
        {"a.weight": kernels, "b.weight": kernels.copy(), "b.bias": np.zeros(3), "c.weight": kernels[..., 0]}
    )
    assert found.layers.select("layer", "kind", "units").rows() == [
        ("a", "kernel", 4),
        ("b", "kernel", 3),
        ("c", "kernel", 4),
    ]
    assert value(found, "singular_value_1", layer="b") == pytest.approx(
        np.linalg.svd(np.moveaxis(kernels, 1, 0).reshape(3, -1), compute_uv=False)[0]
    )


def test_everything_that_is_not_measured_is_named():
    shared = RNG.standard_normal((4, 3))
    arrays = {"w": shared, "again": shared, "steps": np.arange(4), "name": "text", "none": np.zeros((0, 3))}
    reasons = dict(inspect(arrays | {"odd": np.ones((2, 2, 2))}).left_out.rows())
    assert reasons == {
        "again": "it is shared with w, where it is measured",
        "steps": "its numbers are int64, which are no weights as they are",
        "name": "it is a str, not an array",
        "none": "it is empty",
        "odd": "which of its 3 axes has the units is not known",
    }


def test_weights_beside_adapters_keep_their_kind_and_a_note_says_that_no_sum_is_measured():
    names = {"layers.0.self_attn.q_proj": "query", "layers.0.mlp.up_proj": "up", "layers.0.mlp.down_proj": "down"}
    arrays = {f"{name}.base_layer.weight": RNG.standard_normal((6, 6)) for name in names}
    arrays |= {f"layers.0.self_attn.q_proj.lora_{part}.default.weight": RNG.standard_normal((6, 6)) for part in "AB"}
    found = inspect(arrays)
    kinds = dict(found.layers.select("layer", "kind").rows())
    assert {name: kinds[f"{name}.base_layer"] for name in names} == names
    assert value(found, "amplitude", layer="layers.0.mlp.up_proj.base_layer") > 0
    assert any("adapters (LoRA)" in note for note in found.notes)


def test_scales_of_quantized_weights_are_no_weights_of_a_dict_either():
    arrays = {"fc.weight": np.ones((4, 4)), "fc.weight_scale_inv": np.ones((2, 2)), "ok.weight": np.eye(3)}
    found = inspect(arrays | {"q.scales": np.ones((2, 4))})
    assert found.layers["layer"].to_list() == ["ok"]
    assert all("quantized" in reason for reason in found.left_out["reason"])


def test_what_is_left_out_changes_nothing_in_the_rest():
    one, two = RNG.standard_normal((8, 4)), RNG.standard_normal((9, 4))
    assert inspect({"b": two}).table.equals(inspect({"a": one, "b": two}).table.filter(layer="b"))


def test_the_distance_from_a_reference():
    now, start = RNG.standard_normal((2, 5, 4))
    found = inspect({"w": now}, reference={"w": start})
    expected = pytest.approx(np.linalg.norm(now - start) / np.linalg.norm(start))
    assert value(found, "relative_distance") == expected
    tied = inspect({"a.weight": now, "b.weight": now + 1}, reference={"a.weight": start, "b.weight": start})
    assert value(tied, "relative_distance", layer="b") == pytest.approx(
        np.linalg.norm(now + 1 - start) / np.linalg.norm(start)
    )
    # A bias that only one of them has is no distance.
    with_bias = [{"fc.weight": now, "fc.bias": np.ones(5)}, {"fc.weight": start}]
    for one, other, why in ((*with_bias, "lacks it"), (*with_bias[::-1], "alone has it")):
        compared = inspect(one, reference=other)
        assert compared.left_out.rows() == [("fc.bias", f"no relative distance: the reference {why}")]
    assert value(inspect(with_bias[0], reference=with_bias[1]), "relative_distance") == expected


def test_cards_escape_what_names_say():
    found = inspect({"<script>": np.eye(3)})
    assert "<script>" not in found._repr_html_()
    assert "&lt;script&gt;" in found._repr_html_()
    assert "<script>" in repr(found)


def endless(thing):
    """A dict or a list that holds a matrix, and itself."""
    if isinstance(thing, dict):
        thing.update(w=np.eye(2), again=thing)
    else:
        thing += [np.eye(2), thing]
    return thing


WRONG = {
    "no model": (lambda: inspect(3), "3 is no model that can be inspected"),
    "no matrix": (lambda: inspect({"v": np.ones(3)}), "no layer that can be measured in arrays .v: a single number"),
    "nothing": (lambda: inspect({}), "no layer that can be measured in arrays; give"),
    "NaN": (lambda: inspect({"w": np.array([[1.0, np.nan]])}), "w of arrays has 1 number that is NaN or infinite"),
    "infinity": (lambda: inspect({"w": np.full((2, 2), np.inf)}), "w of arrays has 4 numbers that are NaN"),
    "not fitted": (lambda: inspect(MLPRegressor()), "MLPRegressor is not fitted"),
    "no forward pass": (lambda: inspect({"w": np.eye(2)}, X), "holds weights and no forward pass"),
    "inputs that do not fit": (
        lambda: inspect(Network.create(3, [4], 1, scale=InitScale("gain", 1.0)), X),
        r"shape \(60, 5\); expected \(rows, 3\)",
    ),
    "another shape": (
        lambda: inspect({"w": np.eye(2)}, reference={"w": np.eye(3)}),
        r"w has shape \(2, 2\) in arrays and \(3, 3\) in the reference",
    ),
    "another model": (lambda: inspect({"w": np.eye(2)}, reference={"v": np.eye(3)}), "has none of the weights"),
    "an unknown activation": (lambda: inspect({"w": np.eye(2)}, activation="tan"), "did you mean 'tanh'"),
    "a dict that holds itself": (lambda: inspect(endless({})), "The dict that is to be inspected holds itself"),
    "a list that holds itself": (lambda: inspect(endless([])), "The list that is to be inspected holds itself"),
    "a dict that holds itself as reference": (
        lambda: inspect({"w": np.eye(2)}, reference=endless({})),
        "The dict that is to be inspected holds itself",
    ),
    "no rows": (
        lambda: inspect(Network.create(5, [4], 1, scale=InitScale("gain", 1.0)), X[:0]),
        r"shape \(0, 5\); expected \(rows, 5\)",
    ),
    "no file": (lambda: inspect("no.safetensors"), "There is no checkpoint no.safetensors"),
}


@pytest.mark.parametrize(("call", "sentence"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_inspected_is_one_sentence(call, sentence):
    with pytest.raises(NucleateError, match=sentence) as raised:
        call()
    assert isinstance(raised.value, ArchitectureError | SpecError) or "checkpoint" in str(raised.value)


@pytest.mark.parametrize("seed", [-1, 0.5, "a", None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(SpecError, match="it must be a whole number, 0 or more"):
        inspect({"w": np.eye(2)}, seed=seed)


def test_a_picture_of_all_layers():
    figure = inspect({f"w{index}": RNG.standard_normal((6, 5)) for index in range(14)}).plot()
    below = [
        panel
        for panel in figure.axes
        if panel.get_ylabel() in ("share of condensed pairs", "effective rank of the weights")
    ]
    assert [len(line.get_xdata()) for panel in below for line in panel.lines] == [14] * 4


def test_a_layer_of_one_unit_has_no_pairs():
    found = inspect({"first.weight": planted(2, 6, 5), "second.weight": planted(1, 1, 6)}, activation="tanh")
    layers = {row["layer"]: row for row in found.layers.iter_rows(named=True)}
    assert layers["second"]["condensed_pairs"] is None
    assert layers["second"]["condensed_pairs_null"] is None
    assert layers["second"]["directions"] == 1
    assert layers["first"]["condensed_pairs"] > 0
    assert "100.00%" not in repr(found)
    assert found.plot().axes


def mlp(up, down):
    return {"layers.0.mlp.up_proj.weight": up, "layers.0.mlp.down_proj.weight": down}


@pytest.mark.parametrize("power", [-200, -100, 0, 100, 150])
def test_amplitudes_hold_at_any_scale(power):
    rng = np.random.default_rng(0)
    first, last = rng.standard_normal((6, 5)), rng.standard_normal((3, 6))
    of_one, of_scaled = (
        value(inspect(mlp(a * first, b * last)), "amplitude", layer="layers.0.mlp.up_proj")
        for a, b in ((1.0, 1.0), (10.0**power, 10.0**-100))
    )
    assert of_scaled == pytest.approx(of_one * 10.0 ** (power - 100), rel=1e-9)
    assert value(inspect(mlp(1e200 * first, 1e200 * last)), "amplitude", layer="layers.0.mlp.up_proj") == np.inf
