"""The blow-up time of the effective dynamics: time and digits, against solve_ivp and diffrax with events in plain time.

    python benchmarks/blowup.py

prints a markdown table. States: three layers of width 20, Gaussian, the reference states of docs/theory.md and their
like. Digits: of the worst of the five reference values. Compilation is not counted.
"""

import time
from collections.abc import Callable

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from nucleate import devices
from nucleate.theory import State, blowup_time, vector_field

WIDTH, STATES, REPEATS = 20, 1000, 5
REFERENCE = np.array(
    [
        0.26242124792753015488,
        0.33706463319612159118,
        0.28420986716211459268,
        0.26909487508009260181,
        0.26896022480533223878,
    ]
)
# In plain time one stops where |theta|^2 is this large: the time left is sqrt(3 / N), 6 digits of these blow-up times.
LARGE = 3e13


def state(seed: int) -> State:
    rng = np.random.default_rng(seed)
    return State(rng.standard_normal(WIDTH), rng.standard_normal((WIDTH, WIDTH)), rng.standard_normal(WIDTH))


def ensemble(states: list[State]) -> State:
    return State(*(np.stack(layers) for layers in zip(*states, strict=True)))


def with_scipy(method: str, rtol: float) -> Callable[[State], float]:
    def field(t: float, y: np.ndarray) -> np.ndarray:
        a, W2, b = y[:WIDTH], y[WIDTH:-WIDTH].reshape(WIDTH, WIDTH), y[-WIDTH:]
        return np.concatenate([W2 @ b, np.outer(a, b).ravel(), W2.T @ a])

    def large(t: float, y: np.ndarray) -> float:
        return float(y @ y) - LARGE

    large.terminal = True  # type: ignore[attr-defined]

    def solve(state: State) -> float:
        start = np.concatenate([layer.ravel() for layer in state])
        found = solve_ivp(field, (0.0, 100.0), start, method=method, rtol=rtol, atol=rtol, events=large)
        return float(found.t[-1])

    return solve


def in_plain_time(state: State) -> jax.Array:
    def large(t: jax.Array, y: State, args: object, **_: object) -> jax.Array:
        return sum(jnp.sum(layer**2) for layer in y) > LARGE

    found = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: vector_field(y)),
        diffrax.Tsit5(),
        t0=0.0,
        t1=100.0,
        dt0=None,
        y0=state,
        stepsize_controller=diffrax.PIDController(rtol=1e-8, atol=1e-8),
        event=diffrax.Event(large),
        max_steps=100_000,
    )
    return found.ts[-1]


def seconds(run: Callable[[], object]) -> float:
    """The fastest of some runs after one that compiles."""
    run()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def digits(found: np.ndarray) -> float:
    return float(-np.log10(np.abs(found / REFERENCE - 1).max()))


def main() -> None:
    few, many = [state(seed) for seed in range(5)], [state(seed) for seed in range(STATES)]
    together = ensemble(many)
    rows = []
    for method, rtol in (("RK45", 1e-7), ("DOP853", 1e-7)):
        solve = with_scipy(method, rtol)
        each = seconds(lambda solve=solve: [solve(one) for one in few]) / len(few)
        rows.append((f"solve_ivp, {method}, event, plain time", 1, each, digits(np.array([solve(one) for one in few]))))

    one, vmapped = (devices.in_float64(jax.jit(solve)) for solve in (in_plain_time, jax.vmap(in_plain_time)))
    each = seconds(lambda: [one(state) for state in few]) / len(few)
    rows.append(("diffrax, Tsit5, event, plain time", 1, each, digits(np.array([one(state) for state in few]))))
    each = seconds(lambda: vmapped(together)) / STATES
    rows.append(("diffrax, Tsit5, event, plain time, vmap", STATES, each, digits(np.array(vmapped(together)[:5]))))

    each = seconds(lambda: [blowup_time(*state) for state in few]) / len(few)
    found = np.array([blowup_time(*state).estimate for state in few])
    rows.append(("nucleate.theory.blowup_time, with enclosure", 1, each, digits(found)))
    each = seconds(lambda: blowup_time(*together)) / STATES
    enclosed = blowup_time(*together)
    rows.append(("nucleate.theory.blowup_time, with enclosure", STATES, each, digits(np.array(enclosed.estimate[:5]))))

    print("| method | states at once | ms a state | digits | times faster than solve_ivp, RK45 |")
    print("|---|---|---|---|---|")
    for name, at_once, each, right in rows:
        print(f"| {name} | {at_once} | {1e3 * each:.3f} | {right:.1f} | {rows[0][2] / each:.1f} |")
    width = ((enclosed.upper - enclosed.lower) / enclosed.estimate).max()
    print(f"\nWidest enclosure of the {STATES}: {float(width):.1e} of the blow-up time.")


if __name__ == "__main__":
    main()
