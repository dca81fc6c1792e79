"""Each activation against 50-digit arithmetic, and what the table says of it at zero."""

import pickle
import re

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy.special import expit

import nucleate
from nucleate.activations import activation_names, get_activation

mpmath.mp.dps = 50

# The fixed point of Klambauer et al. (arXiv 1706.02515, eq. 14): SELU keeps mean and variance of a standard normal.
SELU_SCALE, SELU_ALPHA = mpmath.mpf("1.0507009873554805"), mpmath.mpf("1.6732632423543772")

EXACT = {
    "linear": lambda z: z,
    "tanh": mpmath.tanh,
    "relu": lambda z: max(z, mpmath.mpf(0)),
    "leaky_relu": lambda z: z if z > 0 else z * mpmath.mpf(0.01),
    "xtanh": lambda z: z * mpmath.tanh(z),
    "sigmoid_shifted": lambda z: 1 / (1 + mpmath.exp(-z)) - mpmath.mpf(1) / 2,
    "softplus_shifted": lambda z: mpmath.log(1 + mpmath.exp(z)) - mpmath.log(2),
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "softplus": lambda z: mpmath.log(1 + mpmath.exp(z)),
    "elu": lambda z: z if z > 0 else mpmath.expm1(z),
    "selu": lambda z: SELU_SCALE * (z if z > 0 else SELU_ALPHA * mpmath.expm1(z)),
    "gelu": lambda z: z * mpmath.ncdf(z),
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
}
OWN = tuple(EXACT)


def sine(z):
    return jnp.sin(z)


def test_every_activation_has_an_exact_counterpart():
    assert set(OWN) <= set(activation_names())


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 1e-6)])
def test_value_is_accurate_relatively_even_at_tiny_arguments(name, dtype, tolerance):
    sizes = np.concatenate([np.logspace(-12, 0, 25), [3.0, 8.0, 20.0]])
    z = np.concatenate([-sizes, sizes]).astype(dtype)
    exact = np.array([float(EXACT[name](mpmath.mpf(float(v)))) for v in z])
    got = np.asarray(get_activation(name)(z), float)
    # GELU's left tail loses digits in erfc's argument: absolute accuracy is what counts there.
    allowed = tolerance * np.where(np.abs(z) > 2, np.abs(exact) + 1e-3, np.abs(exact))
    assert np.all(np.abs(got - exact) <= allowed)


@pytest.mark.parametrize("name", OWN)
def test_leading_part_is_the_limit_at_zero(name):
    activation = get_activation(name)
    for z in (mpmath.mpf("1e-20"), mpmath.mpf("-1e-20")):
        fallen = EXACT[name](z) - EXACT[name](mpmath.mpf(0))
        coefficient = fallen / z**activation.multiplicity
        assert float(coefficient) == pytest.approx(activation.right if z > 0 else activation.left, rel=1e-15, abs=1e-15)
        assert float(activation.leading(np.asarray(float(z)))) == pytest.approx(float(fallen), rel=1e-12)


@pytest.mark.parametrize("name", OWN)
def test_value_at_zero_is_what_the_table_says_and_stays_beside_the_leading_part(name):
    activation = get_activation(name)
    assert activation.value == float(EXACT[name](mpmath.mpf(0)))
    z = np.array([1e-3, -1e-3])
    exact = np.array([float(EXACT[name](mpmath.mpf(v))) for v in z])
    np.testing.assert_allclose(activation.near_zero(z), exact, atol=2e-6)


@pytest.mark.parametrize(("name", "reference"), [("sigmoid", expit), ("softplus", lambda z: np.logaddexp(z, 0))])
def test_plain_ones_are_those_of_scipy_and_numpy(name, reference):
    z = np.linspace(-30, 30, 101)
    np.testing.assert_allclose(get_activation(name)(z), reference(z), rtol=1e-13)


def test_selu_keeps_mean_and_variance_of_a_standard_normal():
    # Its kink at zero is where the quadrature's interval is split.
    for moment, kept in ((1, 0), (2, 1)):
        found = mpmath.quad(lambda z, p=moment: EXACT["selu"](z) ** p * mpmath.npdf(z), [-mpmath.inf, 0, mpmath.inf])
        assert float(found) == pytest.approx(kept, abs=1e-12)


@pytest.mark.parametrize("name", OWN)
def test_slope_is_the_derivative_at_zero_where_there_is_one(name):
    activation = get_activation(name)
    if activation.slope is None:
        assert activation.right != activation.left
    else:
        assert float(jax.grad(activation.function)(0.0)) == pytest.approx(activation.slope, abs=1e-7)


@pytest.mark.parametrize("name", OWN)
def test_parity_is_what_the_table_says(name):
    activation = get_activation(name)
    z = np.linspace(0.1, 3.0, 30)
    mirrored, same = activation(-z), activation(z)
    is_odd, is_even = np.allclose(mirrored, -same), np.allclose(mirrored, same)
    assert activation.parity == ("odd" if is_odd else "even" if is_even else "none")


def test_unknown_name_is_answered_with_the_names_there_are():
    with pytest.raises(nucleate.ArchitectureError, match=r"'tahn'; did you mean 'tanh'\? Choose one of linear, "):
        get_activation("tahn")


def test_a_name_cannot_be_taken_twice_and_multiplicity_is_positive():
    with pytest.raises(nucleate.ArchitectureError, match="already registered"):
        nucleate.register_activation(nucleate.Activation("tanh", jnp.sin, 1, 1.0, 1.0))
    with pytest.raises(nucleate.ArchitectureError, match="multiplicity 0; it must be 1 or more"):
        nucleate.register_activation(nucleate.Activation("step", jnp.sign, 0, 1.0, -1.0))


def test_a_definition_that_is_run_again_takes_the_place_of_what_it_defined_before():
    cell = "sine = Activation('cell sine', lambda z: {}, 1, 1.0, 1.0, parity='odd')\nregister_activation(sine)"
    names = {"__name__": "__main__", "Activation": nucleate.Activation, "jnp": jnp}
    names["register_activation"] = nucleate.register_activation
    exec(cell.format("jnp.sin(z)"), names)
    exec(cell.format("jnp.sin(z) + z**3"), names)
    assert get_activation("cell sine") is names["sine"]
    assert get_activation("cell sine")(np.array([1.0])) == pytest.approx(np.sin(1) + 1)


def test_one_of_your_own_is_pickled_by_its_parts():
    own = nucleate.Activation("own sine", sine, 1, 1.0, 1.0)
    assert pickle.loads(pickle.dumps(own)) == own


@pytest.mark.parametrize("name", OWN)
def test_an_activation_is_pickled_by_its_name(name):
    assert pickle.loads(pickle.dumps(get_activation(name))) is get_activation(name)


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        (
            {"right": 5.0, "left": 5.0},
            r"says that it is 0 \+ 5 z\^1 near zero for z > 0, but there its coefficient is 1",
        ),
        (
            {"function": lambda z: z * jnp.log(jnp.abs(z)), "right": -9.21034, "left": -9.21034},
            "coefficient goes from -4.605 at a distance of 0.01 to -11.51 at 1e-05, so that it has no such term; what "
            "it is there is not one power of z, .*; choose a function with a leading power at zero",
        ),
        (
            {"function": jnp.cos, "multiplicity": 2, "right": 1e8, "left": 1e8},
            r"it has no such term; let it say value=1.0, multiplicity=2, right=-0.5 and left=-0.5\.",
        ),
        (
            {"function": lambda z: jnp.where(z > 0, z, z**2) + 1, "parity": "none"},
            "what it is there is not one power of z",
        ),
        (
            {"lipschitz": 0.9},
            r"says that its slope is at most 0.9 in size \(lipschitz\), but it is 1 at 0; correct the",
        ),
        ({"function": lambda z: 0 * z, "right": 0.0, "left": 0.0}, "its leading term is zero on both sides"),
        ({"parity": "even"}, "says that its parity is 'even', but it is not"),
        ({"parity": "Odd"}, "the choices are odd, even and none"),
        ({"function": lambda z: z[0]}, "gives an array of shape"),
        ({"function": np.sum}, "gives an array of shape|cannot be computed"),
    ],
)
def test_what_an_activation_says_of_itself_must_be_so(claims, sentence):
    own = {
        "name": "claimed",
        "function": jnp.sin,
        "multiplicity": 1,
        "right": 1.0,
        "left": 1.0,
        "parity": "odd",
    } | claims
    with pytest.raises(nucleate.ArchitectureError, match=sentence):
        nucleate.register_activation(nucleate.Activation(**own))


@pytest.mark.parametrize("name", OWN)
def test_the_packages_own_are_what_they_say(name):
    from dataclasses import replace

    replace(get_activation(name), name="again").check()


def test_a_derivative_that_is_nan_on_a_part_of_the_line_is_refused():
    def bent(z):
        return jnp.where(z > 0, z, 0.1 * z + 0 * jnp.sqrt(jnp.minimum(0 * z, 0.0)))

    said = "Activation 'bent' has a derivative that is NaN or infinite at "
    with pytest.raises(nucleate.ArchitectureError, match=said):
        nucleate.Activation("bent", bent, 1, 1.0, 0.1).check()


@pytest.mark.parametrize(
    "function",
    [
        jnp.cos,
        lambda z: jnp.exp(z) - z,
        jax.nn.softplus,
        lambda z: jax.nn.relu(z) ** 3 + 2,
        lambda z: jnp.tanh(z) ** 4,
    ],
)
def test_what_an_activation_is_told_to_say_holds(function):
    with pytest.raises(nucleate.ArchitectureError, match="let it say value=") as refused:
        nucleate.Activation("own", function, 5, 1.0, 1.0, value=7.0).check()
    said = dict(re.findall(r"(\w+)=([-+.e\d]*\d)", str(refused.value)))
    claims = {name: (int if name == "multiplicity" else float)(number) for name, number in said.items()}
    assert set(claims) == {"value", "multiplicity", "right", "left"}
    nucleate.Activation("own", function, **claims).check()
