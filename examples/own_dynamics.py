"""A dynamics of one's own: how long is the plateau of a gated layer, as transformers have them, and who leaves it?

f(x) = sum_k a_k silu(g_k . x) (w_k . x). As silu(z) ~ z / 2 at zero, its leading part has degree three, although there
is one hidden layer: the plateau must last for 1/eps steps, where an ungated layer takes log(1/eps). To that order the
neurons do not act on each other, so that the first to blow up leaves alone. All the theory needs is the potential.
Prints forecast and outcome, and draws them in own_dynamics.png.
"""

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from nucleate.theory import potential_blowup_time

RATE, WIDTH, SCALES = 0.1, 20, (0.1, 0.03, 0.01, 0.003)

rng = np.random.default_rng(1)
x = rng.standard_normal((300, 5))
y = x[:, 0] * x[:, 1]  # an interaction, which no linear model sees
moment = np.einsum("i,id,ie->de", y, x, x) / (2 * len(x))
start = [rng.standard_normal(shape) for shape in (WIDTH, (WIDTH, 5), (WIDTH, 5))]


def potential(theta):
    a, w, g = theta
    return jnp.einsum("k,kd,de,ke->", a, w, moment, g)


def loss(theta):
    a, w, g = theta
    return jnp.mean(((x @ w.T * jax.nn.silu(x @ g.T)) @ a - y) ** 2) / 2


@jax.jit
def train_until_the_loss_is_down_by_a_tenth(theta):
    def step(state):
        return state[0] + 1, jax.tree.map(lambda p, slope: p - RATE * slope, state[1], jax.grad(loss)(state[1]))

    return jax.lax.while_loop(lambda state: loss(state[1]) > 0.9 * loss(theta), step, (0, theta))


rows = []
for scale in SCALES:
    theta = [scale * part for part in start]
    blowup = potential_blowup_time(potential, theta, 3, np.linalg.norm(moment, 2))
    step, (a, w, g) = train_until_the_loss_is_down_by_a_tenth(theta)
    size = np.abs(a) * np.linalg.norm(w, axis=1) * np.linalg.norm(g, axis=1)
    rows.append((scale, float(blowup.estimate) / RATE, int(step), float(size.max() / size.sum())))
    print("scale {:g}: blow-up at step {:.0f}, loss down by 10 % at {}, largest neuron has {:.0%}".format(*rows[-1]))

scales, blowups, measured, shares = np.array(rows).T
figure = Figure(figsize=(7.5, 3.2), layout="constrained")
left, right = figure.subplots(1, 2)
left.loglog(scales, blowups, "-", scales, measured, "o")
left.set(xlabel="init scale", ylabel="step", title="blow-up of the leading part (line)\nand loss down by 10 % (points)")
right.semilogx(scales, shares, "o-")
right.set(xlabel="init scale", ylim=(0, 1.05), title="the largest neuron's\nshare of the amplitude")
figure.savefig("own_dynamics.png", dpi=150)
