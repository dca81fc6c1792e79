"""What Python users get wrong is one typed sentence: the value, the cause, the remedy."""

import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nucleate
from nucleate import Activation, ConvNetwork, InitScale, Network, NucleateError, Problem
from nucleate.experiments import Criterion, Experiment, Measurement
from nucleate.observe import cosine_similarity, layers_of, stages
from nucleate.optimizers import Optimizer
from nucleate.studies import make_spec
from nucleate.theory import State, blowup_time, completion_loss, conditions, draw_factors, energy, escape_time

X = np.random.default_rng(0).standard_normal((60, 3))
PROBLEM = Problem.from_arrays(X, X[:, 0], name="first column")
NETWORK = Network.create(3, [4, 4], 1, scale=InitScale("gain", 0.1))


def fails(*_, **__):
    raise RuntimeError("it failed")


def transformation(update):
    return lambda rate: optax.GradientTransformation(lambda parameters: (), update)


MAKES = {
    "gives a tuple": (lambda rate: (1, 2), "it must return an optax transformation"),
    "fails": (fails, "cannot be made .RuntimeError: it failed"),
    "takes nothing": (lambda: optax.sgd(0.1), "its make takes the learning rate"),
    "reads a traced number": (lambda rate: optax.sgd(float(rate)), "its make takes the learning rate"),
    "compares it": (lambda rate: optax.sgd(rate if rate > 0 else 1.0), "its make takes the learning rate"),
    "updates by NumPy": (transformation(lambda g, s, p=None: (jax.tree.map(np.asarray, g), s)), "cannot take a step"),
    "updates one thing": (transformation(lambda g, s, p=None: g), "not the updates and the state"),
    "changes shapes": (
        transformation(lambda g, s, p=None: (jax.tree.map(lambda a: a[..., None], g), s)),
        "other shapes",
    ),
    "fails later": (transformation(fails), "cannot take a step .RuntimeError: it failed"),
}


@pytest.mark.parametrize(("make", "sentence"), MAKES.values(), ids=MAKES)
def test_an_optimizer_that_is_none(make, sentence):
    with pytest.raises(nucleate.SpecError, match=sentence):
        nucleate.train(NETWORK, PROBLEM, optimizer=Optimizer("own", make), steps=3)
    with pytest.raises(nucleate.SpecError, match=sentence):
        nucleate.forecast(NETWORK, PROBLEM, Optimizer("own", make))


def test_what_an_optimizer_is_made_of():
    with pytest.raises(nucleate.SpecError, match=r"such as optax\.sgd, not what it returns"):
        Optimizer("own", optax.sgd(0.1))
    with pytest.raises(nucleate.SpecError, match=r"'a' of the optimizer 'own' is \[1\]; files keep numbers and texts"):
        Optimizer("own", optax.sgd, a=[1])


@pytest.mark.parametrize("rate", ["0.1", float("nan"), [0.1], None, 0, True, 1j, np.inf])
def test_a_learning_rate_that_is_none(rate):
    for verb in (nucleate.train, nucleate.forecast):
        with pytest.raises(nucleate.SpecError, match="it must be a positive number"):
            verb(NETWORK, PROBLEM, learning_rate=rate)


FUNCTIONS = {
    "of NumPy": np.sin,
    "of shape": lambda z: z.sum(),
    "of another dtype": lambda z: z.astype("float16"),
    "not elementwise": lambda z: z / jnp.linalg.norm(z),
    "that reverses": lambda z: z[::-1],
    "that fails": fails,
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_function_that_is_no_activation(function):
    with pytest.raises(nucleate.ArchitectureError, match="Activation 'own'"):
        Network.create(3, [4], 1, scale=InitScale("gain", 1.0), activation=Activation("own", function, 1, 1.0, 1.0))


FORMS = {
    "of an unknown kind": (lambda graph, z: graph.add("Sine", z), "makes no valid graph"),
    "that gives nothing": (lambda graph, z: None, "it must return the name that graph.add gave"),
    "that fails": (fails, "failed .RuntimeError: it failed"),
    "of another function": (lambda graph, z: graph.add("Cos", z), "does something else than its function: correct it"),
    "with an attribute": (lambda graph, z: graph.add("Sin", z, alpha=0.1), "makes no valid graph"),
}


@pytest.mark.parametrize(("form", "sentence"), FORMS.values(), ids=FORMS)
def test_an_onnx_form_that_is_none(form, sentence, tmp_path):
    sine = Activation("wave", jnp.sin, 1, 1.0, 1.0, onnx=form)
    network = Network.create(3, [4, 4], 1, scale=InitScale("gain", 1.0), activation=sine)
    with pytest.raises(NucleateError, match=f"activation 'wave'.*{sentence}|{sentence}") as raised:
        nucleate.export(network, PROBLEM, tmp_path / "network.onnx")
    assert "report this" not in str(raised.value)
    assert not (tmp_path / "network.onnx").exists()


@pytest.mark.parametrize("given", [True, "5", np.True_, np.array(True), jnp.array(True)])
def test_truth_values_and_texts_are_no_whole_numbers(given):
    calls = [
        lambda: Network.create(3, [4], 1, scale=InitScale("gain", 1.0), seed=given),
        lambda: Network.create(given, [4], 1, scale=InitScale("gain", 1.0)),
        lambda: Network.create(3, [given], 1, scale=InitScale("gain", 1.0)),
        lambda: ConvNetwork.create((8, 8, 1), [3], 1, scale=InitScale("gain", 1.0), seed=given),
        lambda: Problem.from_arrays(X, X[:, 0], split_seed=given),
        lambda: nucleate.load_problem("sine-5d", split_seed=given),
        lambda: draw_factors((3, 3), 2, 0.1, seed=given),
        *(
            lambda name=name: nucleate.reduce(NETWORK, PROBLEM, **{name: given})
            for name in ("seed", "fine_tune", "distill")
        ),
        *(
            lambda name=name: nucleate.train(NETWORK, PROBLEM, **{"steps": 9} | {name: given})
            for name in ("steps", "seed", "batch_size", "warmup", "evaluations")
        ),
        *(
            lambda name=name: make_spec(data="diabetes", gains=[1.0], **{name: given})
            for name in ("steps", "hidden", "seeds", "split_seed")
        ),
        lambda: make_spec(data="diabetes", gains=[1.0], hidden=[given]),
        lambda: make_spec(data="diabetes", gains=[1.0], seeds=[given]),
    ]
    for call in calls:
        with pytest.raises(NucleateError, match=re.escape(repr(given))):
            call()


class Size(NamedTuple):
    n: int


@pytest.mark.parametrize(
    ("measure", "sentence"),
    [
        (fails, "failed .RuntimeError: it failed"),
        (lambda size: 1, "it takes a size and a function"),
        (lambda size, progress: Measurement((None,), None), "as its figure"),
        (lambda size, progress: (1.0, None), "returned tuple"),
    ],
)
def test_a_measure_of_an_experiment_that_is_none(measure, sentence, tmp_path):
    criteria = (Criterion("q", "at most", 1.0),)
    own = Experiment("own", "c", "s", "{n}", criteria, quick=Size(1), full=Size(2), measure=measure)
    with pytest.raises(nucleate.SpecError, match=sentence):
        nucleate.reproduce(own, out=tmp_path, quick=True, progress=False)


def test_verbs_given_something_else(tmp_path):
    odd = {
        "train makes one run": lambda: nucleate.train(NETWORK, PROBLEM, seeds=[1]),
        "'stepps' is not a setting; did you mean 'steps'": lambda: nucleate.train(NETWORK, PROBLEM, stepps=3),
        "The seed is 'a'": lambda: nucleate.train(NETWORK, PROBLEM, seed="a"),
        "The problem is 'diabetes'": lambda: nucleate.reduce(NETWORK, "diabetes"),
        "reduce_study a study": lambda: nucleate.reduce("folder"),
        "None is no study": lambda: nucleate.report(None),
        "is no study": lambda: nucleate.reduce_study(3),
        "holds no study": lambda: nucleate.reduce_study(tmp_path),
        "is no experiment": lambda: nucleate.reproduce(3, out=tmp_path),
        "The model str has no floating-point arrays": lambda: nucleate.forecast("network", PROBLEM),
        "The horizon is 'x'": lambda: nucleate.forecast(NETWORK, PROBLEM, horizon="x"),
        "The data are array": lambda: nucleate.sweep(X, gains=[1], out=tmp_path / "s"),
        "The file is 3": lambda: nucleate.export(NETWORK, PROBLEM, 3),
        "There is no activation 3": lambda: Network.create(3, [4], 1, scale=InitScale("gain", 1.0), activation=3),
        "The init scale gain is 'x'": lambda: InitScale("gain", "x"),
    }
    for sentence, call in odd.items():
        with pytest.raises(NucleateError, match=sentence):
            call()


ODD_ARRAYS = {
    "None": None,
    "a text": "x",
    "objects": np.array([[object()] * 3] * 60),
    "dates": np.array([["2020-01-01"] * 3] * 60, "datetime64[D]"),
    "complex": X + 1j,
    "ragged": [[1.0], [1.0, 2.0]],
    "a dict": {"a": 1},
    "masked": np.ma.masked_array(X, X > 1),
    "four axes": np.ones((2, 2, 2, 2)),
}


@pytest.mark.parametrize("odd", ODD_ARRAYS.values(), ids=ODD_ARRAYS)
def test_arrays_that_are_none(odd):
    for call in (
        lambda: NETWORK(odd),
        lambda: layers_of(NETWORK, odd),
        lambda: stages(np.arange(60), odd),
        lambda: blowup_time(odd, odd, odd),
        lambda: energy(State(odd, odd, odd)),
        lambda: conditions(State(odd, odd, odd)),
        lambda: completion_loss(odd, odd, odd),
        lambda: draw_factors(odd, 2, 0.1),
        lambda: escape_time(completion_loss([0], [0], [1.0]), [[[0.1]]], odd),
    ):
        with pytest.raises(NucleateError):
            call()


@pytest.mark.parametrize("name", [*(name for name in ODD_ARRAYS if name != "four axes"), "one axis"])
def test_what_has_no_rows_to_compare(name):
    with pytest.raises(NucleateError):
        cosine_similarity((ODD_ARRAYS | {"one axis": np.ones(3)})[name])


def test_lists_tables_and_whole_numbers_are_arrays():
    expected = NETWORK(X)
    assert np.array_equal(NETWORK(X.tolist()), expected)
    assert np.array_equal(NETWORK(jnp.asarray(X, jnp.float32)), expected)
    assert float(energy(State([1, 2], [[1, 0], [0, 1]], [3, 4]))) == 11.0
