"""A spec from arguments or TOML, and one sentence for each way it can be wrong."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nucleate import Activation, InitScale, Network, SpecError
from nucleate.observe import MEASURES, Measure
from nucleate.optimizers import GD, Optimizer
from nucleate.problems import SQUARED, Loss
from nucleate.studies import Plan, StudySpec, make_spec, read_spec
from nucleate.training.settings import READING


def test_the_grid_is_scales_by_rates_by_seeds_in_that_order():
    spec = make_spec(data="diabetes", gammas=[4, 0.5], lrs=[0.1, 0.01], seeds=2)
    cells = [(run.number, run.scale, run.learning_rate, run.seed) for run in Plan(spec).runs]
    assert cells[:3] == [(0, 4.0, 0.1, 0), (1, 4.0, 0.1, 1), (2, 4.0, 0.01, 0)]
    assert len(cells) == 8


def test_a_scale_may_have_a_number_for_each_layer(tmp_path):
    spec = make_spec(data="sine-5d", gains=[1, "1x0.1x2", (2, 1, 1)], hidden=[4, 3])
    assert spec.scales == (1.0, (1.0, 0.1, 2.0), (2.0, 1.0, 1.0))
    assert spec == make_spec(data="sine-5d", gains=[1, (1, 0.1, 2), "2x1x1"], hidden=[4, 3])
    plain, by_layer, _ = (Plan(spec).start(run, 5, 1) for run in Plan(spec).runs)
    for weight, other, factor in zip(plain.weights, by_layer.weights, (1.0, 0.1, 2.0), strict=True):
        np.testing.assert_allclose(other, factor * weight, rtol=1e-6)
    assert make_spec(data="sine-5d", gains="1x0.1x2", hidden=[4, 3]).scales == ((1.0, 0.1, 2.0),)
    saved = spec.model_dump(mode="json", exclude_none=True)
    assert saved["gains"] == [1.0, "1x0.1x2", "2x1x1"]
    assert StudySpec.model_validate(saved, context=READING) == spec
    file = tmp_path / "study.toml"
    file.write_text('data = "sine-5d"\ngains = [1, "1x0.1x2", [2, 1, 1]]\nhidden = [4, 3]\n')
    assert read_spec(file) == spec


def test_scales_by_layer_are_ordered_by_what_they_count_as():
    spec = make_spec(data="sine-5d", gains=[1, "1x0.001x1", 0.5], hidden=[4, 3])
    assert [spec.in_tables(scale) for scale in spec.ordered_scales] == ["1x0.001x1", "0.5", "1"]
    assert [spec.from_tables(spec.in_tables(scale)) for scale in spec.scales] == list(spec.scales)
    assert make_spec(data="sine-5d", gains=[1, 0.5]).in_tables(0.5) == 0.5


def test_one_seed_starts_from_one_draw_at_every_scale():
    spec = make_spec(data="sine-5d", epsilons=[0.5, 0.25], seeds=[7], hidden=[4, 3])
    plan = Plan(spec)
    first, second = (plan.start(run, 5, 1) for run in plan.runs)
    assert (first.weights[1] == 2 * second.weights[1]).all()
    assert [bias is not None for bias in first.biases] == [True, False, False]


def test_a_toml_spec_has_the_flags_names_and_flags_win(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text('data = "wine"\ngains = [1.0, 0.1]\nseeds = 3\nhidden = [20, 20]\noptimizer = "adam"\n')
    assert read_spec(file) == make_spec(data="wine", gains=[1.0, 0.1], seeds=3, hidden=[20, 20], optimizer="adam")
    changed = read_spec(file, epsilons=[1e-3], steps=10)
    assert (changed.convention, changed.scales, changed.steps, changed.data) == ("epsilon", (1e-3,), 10, "wine")


def test_a_single_value_stands_for_a_list_of_one_and_commas_separate_targets():
    one = make_spec(data="own.csv", target="price, rent", gains=1, lrs=0.1, hidden=8)
    assert one == make_spec(data="own.csv", target=["price", "rent"], gains=[1.0], lrs=[0.1], hidden=[8])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Give exactly one of 'gains', 'epsilons', 'gammas' and 'fan_in_gammas'; there is none of them"),
        ({"gains": [1], "gammas": [2]}, "there is 'gains' and 'gammas'"),
        (
            {"gains": ["1x0.1"]},
            "The init scale gain 1x0.1 has 2 numbers, and the network 3 layers, the output layer incl",
        ),
        ({"gains": [1, "1xlarge"]}, "'gains' has '1xlarge' in place 2; it must be a number"),
        ({"gains": "1x0.1"}, "The init scale gain 1x0.1 has 2 numbers"),
        ({"gains": ["1x0x1"]}, "The init scale gain of layer 2 is 0.0; it must be positive"),
        ({"gains": [(1, True, 1)]}, "'gains' has .* in place 1.*true and false are no values of it"),
        ({"gains": [1, "1x1x1"]}, "no value may stand there twice"),
        ({"gains": []}, "'gains' is .*, but it needs at least one value"),
        ({"gains": [1, 1]}, "no value may stand there twice"),
        ({"gains": [-1]}, "init scale gain is -1.0; it must be positive"),
        ({"gains": [1], "lrs": [0]}, "learning rates must be positive"),
        ({"gains": [1], "hidden": [0]}, "every width must be from 1 to 2147483647"),
        ({"gains": [1], "seeds": 0}, "number of seeds must be from 1"),
        ({"gains": [1], "seeds": [-1]}, "seeds must be from 0"),
        ({"gains": [1], "steps": 0}, "'steps' is 0; it must be 1 or more"),
        ({"gains": [1], "activation": "tahn"}, "there is no activation 'tahn'"),
        (
            {"gains": [1], "optimizer": "sgd"},
            r"'optimizer' is 'sgd', but there is no optimizer 'sgd'; did you mean 'gd'\? Choose one of gd, mom",
        ),
        ({"gains": [1], "step": 1}, "'step' is not a setting; did you mean 'steps'"),
        ({"gains": "abc"}, "'gains' is 'abc'; it must be a list"),
        ({"gains": [1], "loss": "hinge"}, "'loss' is 'hinge', but there is no loss 'hinge'; choose one of squared"),
        ({"gains": [1], "model": "gated"}, r"here is no model 'gated'.* function make\(inputs"),
        (
            {"gains": [1], "model": Network.create(10, [3], 1, scale=InitScale("gain", 1.0))},
            r"made by a function make\(inputs, outputs, scale, seed\), and Network is one model already; pass such a",
        ),
        (
            {"gains": [1], "model": lambda inputs, scale: None},
            r"seed\), and <lambda> takes \(inputs, scale\); pass such",
        ),
        ({"gains": [1], "model": Network}, r"and Network takes \(.*\).*; pass such a function"),
        ({"gains": [1], "model": lambda *given: None, "hidden": [4]}, "its own architecture; leave out 'hidden'"),
        ({"gains": [1], "measures": [Measure("directions", lambda *layers: 1.0)]}, "nor be that of one of"),
        ({"gains": [1], "records": 80}, "'records' is not a setting; there are optimizer, steps, .*, gains"),
        (
            {"gains": [1], "steps": 10**400},
            r"'steps' is 1000.*\.\.\. \(401 characters\); it must be 21474",
        ),
        ({"gains": [1], "steps": True}, "'steps' is True, but true and false are no values of it"),
        ({"gains": [1], "steps": 7.5}, "'steps' is 7.5; it must be a whole number"),
        ({"gains": [1], "steps": None}, "'steps' is None; it must be a whole number"),
        ({"gains": [1], "hidden": [8, "x"]}, "'hidden' has 'x' in place 2; it must be a whole number"),
        ({"gains": [1], "early_stopping": "perhaps"}, "'early_stopping' is 'perhaps'; it must be true or false"),
        ({"gains": [1], "target": 3}, "'target' is 3; it must be a list"),
        ({"gains": [1], "encoding": 8}, "'encoding' is 8; it must be text"),
        ({"gains": [1], "task": "regresion"}, "'task' is .*; it must be .*; did you mean 'regression'?"),
        ({"gains": [1], "optimizer": {"name": "gd", "mass": 1}}, r"\(TypeError.*\); correct its parameters \(mass\)"),
        (
            {"gains": [1], "evaluations": 10**9},
            "'evaluations' is 1000000000; it must be 100000 or less",
        ),
    ],
)
def test_a_wrong_field_is_one_sentence(fields, message):
    with pytest.raises(SpecError, match=message):
        make_spec(data="diabetes", **fields)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda *given: 1 / 0,
            r"The model '<lambda>' could not be made of 10 inputs, 1 outputs, .* and the seed 0 \(Zero",
        ),
        (lambda *given: None, r"The model '<lambda>' makes NoneType, which cannot be called; return a JAX pytree"),
    ],
)
def test_a_function_that_makes_no_model_is_one_sentence(make, message):
    plan = Plan(make_spec(data="diabetes", gains=[1.0], model=make))
    with pytest.raises(SpecError, match=message):
        plan.start(plan.runs[0], 10, 1)


def test_a_spec_file_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(SpecError, match=r"absent\.toml cannot be read \(No such file or directory\); check the path"):
        read_spec(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("gains = [1,")
    with pytest.raises(SpecError, match=r"bad\.toml is not valid TOML"):
        read_spec(tmp_path / "bad.toml")
    (tmp_path / "nothing.toml").write_text("gains = [1]")
    with pytest.raises(SpecError, match=r"The key 'data' of .*nothing\.toml is missing"):
        read_spec(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = " + "[" * 20_000, "nests brackets too deep; write its values as plain lists"),
        ("steps = " + "9" * 5_000, "is not valid TOML .*5000 digits"),
        ("steps = " + "9" * 400, r"The key 'steps' of .*\.toml is 9999.*; it must be 2147483646 or less"),
        ("stpes = 3", r"The key 'stpes' of .*\.toml is not a setting; did you mean 'steps'"),
        ("steps = true", "The key 'steps' of .* is True, but true and false are no values of it"),
        ('data = "a\\u0000b"\ngains = [1]', "The key 'data' of .*, but a path holds no NUL character"),
        (f'data = "{"x" * 256}"\ngains = [1]', "The key 'data' of .*, but a part of a path has at most 255 bytes"),
    ],
)
def test_what_is_wrong_in_a_spec_file_is_said_with_its_key_and_its_file(tmp_path, text, message):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(SpecError, match=message):
        read_spec(tmp_path / "own.toml")


def test_what_is_wrong_in_a_change_of_a_spec_file_is_not_said_of_the_file(tmp_path):
    (tmp_path / "own.toml").write_text('data = "diabetes"\ngains = [1]')
    with pytest.raises(SpecError, match=r"^'steps' is 0"):
        read_spec(tmp_path / "own.toml", steps=0)


def test_a_spec_is_not_read_from_a_device_without_an_end():
    with pytest.raises(SpecError, match=r"The spec /dev/zero cannot be read \(it is a device\)"):
        read_spec("/dev/zero")


def one_gate(inputs, outputs, scale, seed):
    """Only its name counts here."""


OWN = {
    "optimizer": Optimizer("lion", optax.lion, b1=0.8),
    "loss": Loss("cubed", lambda outputs, y: jnp.sum(jnp.abs(outputs - y) ** 3, axis=1)),
    "activation": Activation("unregistered sine", jnp.sin, 1, 1.0, 1.0, parity="odd"),
    "measures": [Measure("largest", lambda layer, start: float(layer.amplitudes.max()))],
}


def test_objects_of_ones_own_go_into_json_by_name_and_come_out_as_names():
    spec = make_spec(data="diabetes", gains=[1.0], **OWN)
    assert (spec.activation.slope, spec.loss.value, spec.optimizer.make) == (1.0, OWN["loss"].value, optax.lion)
    saved = spec.model_dump(mode="json", exclude_none=True)
    assert saved["optimizer"] == {"name": "lion", "b1": 0.8}
    assert (saved["loss"], saved["activation"], saved["measures"]) == ("cubed", "unregistered sine", ["largest"])
    read = StudySpec.model_validate(saved, context=READING)
    assert read.model_dump(mode="json", exclude_none=True) == saved
    assert read.digest == spec.digest
    for use in (
        lambda: read.optimizer.transformation(0.1),
        lambda: read.loss(jnp.zeros((1, 1)), jnp.zeros((1, 1))),
        lambda: read.activation(jnp.zeros(1)),
        lambda: read.measures[0].value(None, None),
        lambda: read.load_problem(),
    ):
        with pytest.raises(SpecError, match=r"pass it|by its name alone"):
            use()


def test_a_model_of_ones_own_takes_the_place_of_what_makes_networks():
    spec = make_spec(data="diabetes", gains=[1.0], model=one_gate)
    saved = spec.model_dump(mode="json", exclude_none=True)
    assert saved["model"] == "one_gate"
    assert not {"hidden", "activation", "bias", "dtype"} & saved.keys()
    read = StudySpec.model_validate(saved, context=READING)
    with pytest.raises(SpecError, match="The model 'one_gate' is known by its name alone"):
        Plan(read).start(Plan(read).runs[0], 10, 1)


def test_built_in_objects_are_found_by_name_again():
    spec = make_spec(data="diabetes", gains=[1.0], loss="squared", measures=MEASURES)
    assert spec.measures == ()
    read = StudySpec.model_validate(spec.model_dump(mode="json", exclude_none=True), context=READING)
    assert (read, read.loss, read.optimizer) == (spec, SQUARED, GD)


def test_a_changed_spec_is_checked_and_has_one_convention():
    spec = make_spec(data="diabetes", gains=[1.0], **OWN)
    changed = spec.changed(gammas=[2.0], steps=7)
    assert (changed.convention, changed.steps, changed.optimizer) == ("gamma", 7, OWN["optimizer"])
    with pytest.raises(SpecError, match="'steps' is 0"):
        spec.changed(steps=0)


def test_the_digest_tells_specs_apart_by_what_differs_from_the_defaults():
    spec = make_spec(data="diabetes", gains=[1.0])
    assert spec.digest == make_spec(data="diabetes", gains=[1.0], steps=5000, optimizer="gd").digest
    assert spec.digest != spec.changed(steps=4999).digest


@pytest.mark.parametrize("given", ["5", ["5"], ["1", "0.1"], [["1", "0.1", "1"]], "1,0.1"])
def test_a_number_in_a_text_is_no_init_scale(given):
    with pytest.raises(SpecError, match=r"'gains' (is|has) .*; it must be a (number|list)"):
        make_spec(data="sine-5d", gains=given)
