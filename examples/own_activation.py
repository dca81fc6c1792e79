"""An activation of one's own: onto how many directions do neurons with s(z) = z^2 tanh z condense?

It is z^3 at zero, so of multiplicity p = 3: at most 2 p = 6 directions, three axes (Zhou et al. 2022, arXiv
2105.11686). The data are points on a circle with three waves on it; where each axis lies is forecast from them alone.

Prints forecast and outcome, and draws the neurons before and after training in own_activation.png.
"""

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from nucleate import Activation, InitScale, Network, Problem, forecast, observe, train

RATE = 0.1

# To sweep over it, or load a network with it, by its name: nucleate.register_activation(cubic).
cubic = Activation("z2tanh", lambda z: z**2 * jnp.tanh(z), multiplicity=3, right=1.0, left=1.0, parity="odd")

turn = np.random.default_rng(0).uniform(0, 2 * np.pi, 500)
problem = Problem.from_arrays(np.column_stack([np.cos(turn), np.sin(turn)]), np.sin(3 * turn), name="three waves")
network = Network.create(2, [100], 1, scale=InitScale("epsilon", 0.03), activation=cubic)

expected = forecast(network, problem, learning_rate=RATE)
run = train(network, problem, learning_rate=RATE, steps=4000)
print(f"loss down by 10 %: forecast at step {expected.drop_steps[0.1]}, measured at {run.drop_steps[0.1]}")


def axis(vectors: np.ndarray) -> np.ndarray:
    """The angle of each vector's axis, from 0 to 180 degrees."""
    return np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])) % 180


amplitude = observe.amplitudes(run.final)[0]
strongest = np.argsort(-amplitude)[:3]
share = amplitude[strongest].sum() / amplitude.sum()
print("axes forecast:             ", *np.sort(axis(expected.target_directions)).round(), "degrees")
print("axes of three of 100 neurons:", *np.sort(axis(observe.neurons(run.final, 1)[strongest])).round(), "degrees")
print(f"which have {share:.0%} of all amplitude")

figure = Figure(figsize=(7, 3.6), layout="constrained")
panels = figure.subplots(1, 2, subplot_kw={"projection": "polar"})
for panel, (when, state) in zip(panels, {"start": run.initial, "end": run.final}.items(), strict=True):
    size, angle = observe.amplitudes(state)[0], np.arctan2(*observe.neurons(state, 1).T[::-1])
    for direction in np.radians(axis(expected.target_directions)):
        panel.plot([direction, direction + np.pi], [1, 1], color="tab:orange", lw=2, alpha=0.6)
    panel.scatter(angle, size / size.max(), s=14, color="tab:blue", zorder=3)
    panel.set(title=f"{when}: neurons and forecast axes", yticks=[], ylim=(0, 1.05))
figure.savefig("own_activation.png", dpi=150)
