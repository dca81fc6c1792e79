"""A module is started small by one factor a layer, and everything that it did is said."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from nucleate import ArchitectureError, InitScale, from_torch, init_  # noqa: E402


def rms(parameter):
    return float(parameter.detach().double().pow(2).mean().sqrt())


def mixed():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "convolutions": nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ConvTranspose2d(8, 4, 2, groups=2)),
            "recurrent": nn.LSTM(4, 5, proj_size=3),
            "attention": nn.MultiheadAttention(8, 2),
            "tokens": nn.Embedding(10, 4),
            "cells": nn.ModuleList([nn.GRUCell(4, 6), nn.LSTMCell(3, 5), nn.RNNCell(2, 7)]),
            "linear": nn.Linear(6, 2),
        }
    )


# What a unit reads, by hand: channels by the kernel's area; groups read their own channels alone.
FANS = {
    "convolutions.0.weight": (27, 8),
    "convolutions.2.weight": (16, 4),
    "recurrent.weight_ih_l0": (4, 5),
    "recurrent.weight_hh_l0": (3, 5),
    "recurrent.weight_hr_l0": (5, 3),
    "attention.in_proj_weight": (8, 8),
    "attention.out_proj.weight": (8, 8),
    "cells.0.weight_ih": (4, 6),
    "cells.0.weight_hh": (6, 6),
    "cells.1.weight_ih": (3, 5),
    "cells.1.weight_hh": (5, 5),
    "cells.2.weight_ih": (2, 7),
    "cells.2.weight_hh": (7, 7),
    "linear.weight": (6, 2),
}


@pytest.mark.parametrize(
    "scale", [InitScale("gain", 0.1), InitScale("epsilon", 1e-3), InitScale("gamma", 2.0)], ids=str
)
def test_every_layer_has_the_convention_s_standard_deviation(scale):
    module = mixed()
    table = init_(module, scale, quiet=True)
    for name, (fan_in, fan_out) in FANS.items():
        expected = scale.std(fan_in, fan_out, output_layer=name == "linear.weight")
        assert rms(module.get_parameter(name)) == pytest.approx(expected, rel=1e-6)
    said = {row["layer"]: row for row in table.iter_rows(named=True)}
    assert {name: (row["fan_in"], row["fan_out"]) for name, row in said.items() if row["fan_in"]} == FANS
    assert said["tokens.weight"]["what"].startswith("left as it is")


class Router(nn.Module):
    """A score for each expert, by a matrix of its own."""

    def __init__(self, shape, **counts):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
        self.weight_bias = nn.Parameter(torch.ones(shape[0]))
        self.scales = nn.Parameter(torch.ones(shape))
        for name, count in counts.items():
            setattr(self, name, count)


@pytest.mark.parametrize(
    ("shape", "counts", "fans"),
    [
        ((8, 32), {"num_experts": 8, "num_experts_per_tok": 2}, (32, 8)),
        ((32, 8), {"n_routed_experts": 8}, (32, 8)),
        ((8, 8), {"num_experts": 8}, None),
        ((8, 32), {"num_heads": 8}, None),
    ],
)
def test_a_router_of_one_s_own_is_rescaled_where_it_says_how_many_experts_there_are(shape, counts, fans):
    module = nn.ModuleList([nn.Linear(3, 3), Router(shape, **counts)])
    before = rms(module[1].weight)
    said = {row["layer"]: row for row in init_(module, InitScale("gain", 0.1), quiet=True).iter_rows(named=True)}
    if fans is None:
        assert rms(module[1].weight) == before
        assert "whose fan-in is not known" in said["1.weight"]["what"]
    else:
        assert (said["1.weight"]["fan_in"], said["1.weight"]["fan_out"]) == fans
        assert rms(module[1].weight) == pytest.approx(0.1 / fans[0] ** 0.5, rel=1e-6)
    assert said["1.scales"]["what"].startswith("left as it is")


def test_the_draw_stays_and_biases_go_along():
    module = nn.Sequential(nn.Linear(10, 20), nn.LayerNorm(20), nn.Linear(20, 1))
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    state = torch.get_rng_state()
    init_(module, InitScale("gain", 0.01), quiet=True)
    assert torch.equal(state, torch.get_rng_state())
    for layer in ("0", "2"):
        factors = {
            round((module.get_parameter(f"{layer}.{part}").detach() / before[f"{layer}.{part}"]).mean().item(), 6)
            for part in ("weight", "bias")
        }
        assert len(factors) == 1
    assert torch.equal(module[1].weight, before["1.weight"])


def test_every_parameter_is_in_the_table_once_and_it_is_printed(capsys):
    module = mixed()
    table = init_(module, InitScale("gain", 0.1))
    said = set(table["layer"]) | {
        name for name, _ in module.named_parameters() if "bias" in name and not name.startswith("convolutions.1")
    }
    assert said == {name for name, _ in module.named_parameters()}
    assert len(table["layer"].unique()) == len(table)
    printed = capsys.readouterr().out
    assert all(name in printed for name in table["layer"])


def test_tied_weights_are_rescaled_once():
    module = nn.ModuleList([nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)])
    module[1].weight = module[0].weight
    init_(module, InitScale("epsilon", 0.5), quiet=True)
    assert rms(module[0].weight) == pytest.approx(0.5)


def test_scales_of_1e_200_are_reached_in_double():
    module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    init_(module, InitScale("epsilon", 1e-200), quiet=True)
    sizes = np.abs(from_torch(module).weights[0])
    assert 1e-202 < sizes.max() < 1e-198


def zeroed():
    module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    nn.init.zeros_(module[2].weight)
    return module


def spoiled():
    module = nn.Linear(3, 2)
    with torch.no_grad():
        module.weight[0, 0] = float("nan")
    return module


REFUSED = {
    "zero weights": (zeroed(), InitScale("gain", 0.1), r"All weights of 2\.weight are zero"),
    "NaN": (spoiled(), InitScale("gain", 0.1), "NaN or infinite"),
    "no weights": (nn.LayerNorm(3), InitScale("gain", 0.1), "has no linear"),
    "no numbers": (nn.Linear(3, 2, device="meta"), InitScale("gain", 0.1), "meta device"),
    "underflow": (nn.Linear(3, 2), InitScale("epsilon", 1e-60), "float32 cannot hold"),
    "too few scales": (zeroed(), [InitScale("gain", 0.1)], "2 matrices of weights"),
    "no scale": (nn.Linear(3, 2), 0.1, "0.1 is no init scale"),
    "a name as scale": (nn.Linear(3, 2), "gain", "'gain' is no init scale"),
    "no shape": (nn.Sequential(nn.Linear(3, 2), nn.LazyLinear(1)), InitScale("gain", 0.1), "1.weight has no shape"),
    "a norm by hooks": (nn.Sequential(nn.utils.spectral_norm(nn.Linear(3, 2))), InitScale("gain", 0.1), "SpectralNorm"),
    "a parametrization": (
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))), InitScale("gain", 0.1),
        "0 makes its weights of other parameters",
    ),
    "no module": ("module", InitScale("gain", 0.1), "no PyTorch module"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_rescaled_is_refused_and_left_as_it_was(what):
    module, scale, says = REFUSED[what]
    parameters = list(module.parameters()) if isinstance(module, nn.Module) else []
    before = [one.detach().clone() for one in parameters if not nn.parameter.is_lazy(one)]
    with pytest.raises(ArchitectureError, match=says):
        init_(module, scale, quiet=True)
    if before and not before[0].is_meta:
        assert all(
            torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in zip(before, parameters, strict=False)
        )


def test_keys_and_values_beside_the_sequence_and_complex_weights_stay_with_the_reason():
    module = nn.ModuleList([nn.MultiheadAttention(8, 2, add_bias_kv=True), nn.Linear(3, 2, dtype=torch.cfloat)])
    before = [parameter.detach().clone() for parameter in (module[0].bias_k, module[1].weight)]
    table = init_(module, InitScale("gain", 0.1), quiet=True)
    said = dict(table.select("layer", "what").iter_rows())
    assert "which reads nothing" in said["0.bias_k"]
    assert "complex" in said["1.weight"]
    assert all(torch.equal(*pair) for pair in zip(before, (module[0].bias_k, module[1].weight), strict=True))


class Experts(nn.Module):
    """All experts in one array each, as transformers holds them; with the outputs first, or the inputs."""

    def __init__(self, outputs_first):
        super().__init__()
        torch.manual_seed(0)
        shapes = {"gate_up_proj": (12, 4), "down_proj": (4, 6)}
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(torch.randn(3, *(shape if outputs_first else shape[::-1]))))
        self.gate_up_proj_bias = nn.Parameter(torch.ones(3, 12))


@pytest.mark.parametrize("outputs_first", [True, False])
def test_experts_that_are_in_one_array_are_rescaled_together(outputs_first):
    module = Experts(outputs_first)
    before = module.gate_up_proj.detach().clone()
    table = init_(module, InitScale("gain", 0.1), quiet=True)
    said = {name: (fan_in, fan_out) for name, fan_in, fan_out in table.select("layer", "fan_in", "fan_out").iter_rows()}
    assert said == {"gate_up_proj": (4, 6), "down_proj": (6, 4)}
    assert rms(module.gate_up_proj) == pytest.approx(0.1 / 4**0.5, rel=1e-6)
    factor = float((module.gate_up_proj / before).detach().mean())
    assert module.gate_up_proj_bias.detach().numpy() == pytest.approx(factor, rel=1e-5)
