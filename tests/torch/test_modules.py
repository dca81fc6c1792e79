"""PyTorch's modules, as they are: units by kind, heads, shared and quantized weights, and what is done on a batch.

They need PyTorch and transformers (`make test-extras`).
"""

import numpy as np
import polars as pl
import pytest

from nucleate import ArchitectureError, DataError, InitScale, Network, NucleateError, inspect
from nucleate.observe import effective_neurons
from tests.torch.models import Block, gpt2, llama

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("default")

nn = torch.nn


def resnet():
    return nn.Sequential(nn.Conv2d(3, 6, 3), Block(6), Block(6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))


MODELS = {
    "GPT-2": gpt2,
    "Llama": llama,
    "ResNet": resnet,
    "LSTM": lambda: nn.LSTM(3, 5, 2),
    "GRU": lambda: nn.GRU(3, 5),
}


def norms(found):
    """The norm of every unit's weights, by layer, kind and head."""
    rows = found.table.filter(measure="norm").select("layer", "kind", "head", "value").rows()
    return {(layer, kind, head): value for layer, kind, head, value in rows}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_state_dict_and_its_file_say_what_the_module_says(make, tmp_path):
    torch.manual_seed(0)
    model = make()
    torch.save({"state_dict": model.state_dict(), "epoch": 3}, tmp_path / "model.ckpt")
    whole = inspect(model).layers
    assert inspect(model.state_dict()).layers.equals(whole)
    of_file = inspect(tmp_path / "model.ckpt")
    assert of_file.layers.equals(whole)
    assert ("epoch", "it stands beside the state dict that is measured") in of_file.left_out.rows()


def test_every_parameter_is_measured_or_named():
    for make in MODELS.values():
        model, found = make(), inspect(make())
        named = {*found.left_out["parameter"], *(f"{layer}.weight" for layer in found.table["layer"])}
        for name in model.state_dict():
            assert (
                name in named
                or name in set(found.table["layer"])
                or name.replace("bias", "weight") in named | set(found.table["layer"])
            ), name


def test_gpt2_by_head():
    model = gpt2()
    found = norms(inspect(model))
    attention = model.transformer.h[1].attn
    queries, _, values = (part.detach().numpy() for part in attention.c_attn.weight.T.chunk(3))
    here = "transformer.h.1.attn.c_attn"
    assert found[here, "query", None] == pytest.approx(np.linalg.norm(queries))
    assert found[here, "query head", 1] == pytest.approx(np.linalg.norm(queries[4:]))
    assert found[here, "value head", 0] == pytest.approx(np.linalg.norm(values[:4]))
    written = attention.c_proj.weight.detach().numpy()[4:]
    assert found["transformer.h.1.attn.c_proj", "output head", 1] == pytest.approx(np.linalg.norm(written))
    assert ("lm_head.weight", "it is shared with transformer.wte.weight, where it is measured") in inspect(
        model
    ).left_out.rows()


def test_grouped_queries_have_fewer_heads_of_keys_and_values():
    found = norms(inspect(llama()))
    heads = {kind: sum(1 for _, one, head in found if one == kind and head is not None) for _, kind, _ in found}
    assert {kind: heads[f"{kind} head"] for kind in ("query", "key", "value", "output")} == {
        "query": 4,
        "key": 2,
        "value": 2,
        "output": 4,
    }


def test_gates_attention_and_transposed_convolutions():
    class Zoo(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.attention = nn.LSTM(3, 5), nn.MultiheadAttention(8, 2)
            self.up, self.tokens = nn.ConvTranspose2d(4, 6, 3, groups=2), nn.Embedding(10, 3)

    model = Zoo()
    found = norms(inspect(model))
    forget = model.lstm.weight_ih_l0.detach().numpy()[5:10]
    assert found["lstm.weight_ih_l0", "forget gate", None] == pytest.approx(np.linalg.norm(forget))
    keys = model.attention.in_proj_weight.detach().numpy()[8:16]
    assert found["attention.in_proj", "key head", 1] == pytest.approx(np.linalg.norm(keys[4:]))
    # What the first output of the second group does, by the convolution itself.
    layers = inspect(model).layers
    assert layers.filter(layer="up").select("kind", "units").row(0) == ("kernel", 6)
    ones = nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False)
    with torch.no_grad():
        ones.weight.zero_()
        ones.weight[2:, 0] = 1.0
    found = inspect(nn.Sequential(ones))
    assert found.table.filter(measure="zero_units")["value"].item() == 5
    assert layers.filter(layer="tokens").select("kind", "units").row(0) == ("embedding", 10)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_numbers_of_any_width_are_read_exactly(dtype):
    model = nn.Linear(4, 3, dtype=getattr(torch, dtype))
    expected = np.linalg.norm(model.weight.detach().double().numpy())
    assert norms(inspect(model))["weight", "linear", None] == pytest.approx(expected, rel=1e-14)


def test_a_batch_says_what_observe_says_of_the_same_network():
    network = Network.create(5, [20, 10], 1, scale=InitScale("gain", 0.1), bias=True)
    model = nn.Sequential(nn.Linear(5, 20), nn.Tanh(), nn.Dropout(0.5), nn.Linear(20, 10), nn.Tanh(), nn.Linear(10, 1))
    with torch.no_grad():
        for layer, weight, bias in zip((0, 3, 5), network.weights, network.biases, strict=True):
            model[layer].weight.copy_(torch.tensor(weight))
            model[layer].bias.copy_(torch.tensor(bias))
    x = np.random.default_rng(0).standard_normal((60, 5))
    ours, theirs = inspect(network, x).table, inspect(model, x).table
    for name in ("effective_neurons", "directions", "amplitude", "condensed_pairs", "constant_units"):
        assert theirs.filter(measure=name)["value"].to_list() == pytest.approx(
            ours.filter(measure=name)["value"].to_list(), rel=1e-4
        )


class Forked(nn.Module):
    """Layers whose units one other layer reads, several do, and none does alone."""

    def __init__(self, traceable):
        super().__init__()
        self.traceable = traceable
        self.one, self.two, self.three = nn.Linear(5, 8), nn.Linear(8, 6), nn.Linear(6, 4)
        self.other, self.beside, self.last = nn.Linear(6, 4), nn.Linear(5, 4), nn.Linear(4, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        if not self.traceable and x.sum() > 1e9:
            return x
        self.calls.add_(1)
        hidden = nn.functional.relu(self.two(torch.tanh(self.one(x)).mul(2.0)))
        return self.last(self.three(hidden) * self.other(hidden) + self.beside(x))


def test_who_reads_a_layer_is_seen_in_the_forward_pass_else_why_none_does_alone():
    model, x = Forked(traceable=True), torch.randn(40, 5)
    found = inspect(model, x)
    measured = found.table.filter(measure="effective_neurons")
    assert measured["layer"].to_list() == ["one"]
    alike = nn.Sequential(model.one, nn.Tanh(), nn.Linear(8, 6))
    with torch.no_grad():
        # What is read of twice the activations is twice the weights.
        alike[2].weight.copy_(2 * model.two.weight)
    same = inspect(alike, x).table.filter(measure="effective_neurons", layer="0")
    assert measured["value"].item() == pytest.approx(same["value"].item())
    assert model.calls == 0
    reasons = {name.removesuffix(".weight"): why for name, why in found.left_out.rows() if "effective" in why}
    assert reasons == {
        "two": "no effective neurons: its units are read by several: other, three",
        "three": "no effective neurons: mul mixes its units before they are read",
        "other": "no effective neurons: mul mixes its units before they are read",
        "beside": "no effective neurons: add mixes its units before they are read",
        "last": "no effective neurons: its units are outputs of the model, which no layer reads",
    }
    blind = inspect(Forked(traceable=False), x)
    assert all("torch.fx cannot follow" in why for _, why in blind.left_out.rows() if "effective" in why)
    assert "effective_neurons" not in blind.table["measure"]


def test_a_pool_behind_a_linear_layer_is_over_its_units_and_behind_a_convolution_over_positions():
    mixed = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.MaxPool1d(3, 1, 1), nn.Linear(8, 2))
    why = dict(inspect(mixed, torch.randn(9, 6)).left_out.filter(pl.col("reason").str.contains("effective")).rows())
    assert "(MaxPool1d) mixes its units" in why["0.weight"]

    class Called(nn.Sequential):
        def forward(self, x):
            return self[1](torch.max_pool1d(self[0](x).tanh(), 3, 1, 1))

    left_out = inspect(Called(nn.Linear(6, 8), nn.Linear(8, 2)), torch.randn(9, 6)).left_out["reason"]
    assert any("max_pool1d mixes its units" in why for why in left_out)
    pooled = nn.Sequential(nn.Conv1d(2, 8, 3), nn.Tanh(), nn.MaxPool1d(2), nn.Conv1d(8, 2, 1))
    found = inspect(pooled, torch.randn(9, 2, 6))
    assert found.table.filter(measure="effective_neurons")["layer"].to_list() == ["0"]


def test_a_block_in_a_model_is_followed_and_flattened_positions_are_not():
    found = inspect(resnet(), torch.randn(4, 3, 9, 9))
    assert found.table.filter(measure="effective_neurons")["layer"].to_list() == ["1.conv1", "2.conv1"]
    reasons = dict(found.left_out.filter(pl.col("reason").str.contains("effective")).rows())
    assert "add mixes its units" in reasons["1.conv2.weight"]

    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.out = nn.Conv2d(1, 3, 3), nn.Linear(3 * 4, 2)

        def forward(self, x):
            return self.out(torch.relu(self.conv(x)).flatten(1))

    class Pooled(nn.Module):
        def __init__(self, pool):
            super().__init__()
            self.pool = pool
            self.conv1, self.conv2, self.out = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x):
            x = self.pool(torch.relu(self.conv1(x)), 2)
            return self.out(torch.flatten(nn.functional.adaptive_avg_pool2d(self.conv2(x).relu(), 1), 1))

    for pool in (nn.functional.max_pool2d, torch.max_pool2d, lambda signal, _: torch.clone(signal).pow(2).neg()):
        found = inspect(Pooled(pool), torch.randn(5, 1, 9, 9))
        assert found.table.filter(measure="effective_neurons")["layer"].to_list() == ["conv1", "conv2"]
    whole = inspect(Flat(), torch.randn(5, 1, 4, 4))
    assert "is not given several rows of them one by one on these inputs" in dict(whole.left_out.rows())["conv.weight"]


def test_the_layers_of_pytorch_s_own_transformer_are_read_by_each_other():
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    found = inspect(layer, torch.randn(6, 5, 8))
    assert found.table.filter(measure="effective_neurons").select("layer", "units").rows() == [("linear1", 12)]


@pytest.mark.parametrize("kind", ["Mixtral", "GptOss"])
def test_each_expert_of_a_mixture_has_its_own_units(kind):
    small = {
        "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 4,
        "num_key_value_heads": 1, "num_local_experts": 3, "num_experts_per_tok": 2, "vocab_size": 20,
    }  # fmt: skip
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**small))
    experts = model.layers[0].mlp.experts
    with torch.no_grad():
        for one in (experts.gate_up_proj, experts.down_proj):
            one.normal_()
        (experts.gate_up_proj[1, 9] if kind == "Mixtral" else experts.gate_up_proj[1, :, 3]).zero_()
    found = inspect(model, {"input_ids": torch.arange(10)[None]}).table.filter(measure="zero_units")
    of_experts = found.filter(pl.col("layer").str.contains("experts"))
    assert len(of_experts) == 3 * 3
    # The unit is the second of the halves of Mixtral, and the second of OpenAI's turns: one of "up".
    zero = of_experts.filter(pl.col("value") > 0).select("layer", "kind", "units", "value").rows()
    assert zero == [("layers.0.mlp.experts.1.gate_up_proj", "up", 8, 1.0)]
    downs = of_experts.filter(kind="down")
    assert downs["units"].to_list() == [8, 8, 8]


@pytest.mark.parametrize("kind", ["Mixtral", "GptOss"])
def test_the_hidden_units_of_an_expert_are_measured_on_the_rows_routed_to_it(kind):
    small = {
        "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 4,
        "num_key_value_heads": 1, "num_local_experts": 3, "num_experts_per_tok": 2, "vocab_size": 20,
    }  # fmt: skip
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**small))
    experts, given = model.layers[0].mlp.experts, []
    with torch.no_grad():
        for one in experts.parameters():
            one.normal_()
    handle = experts.register_forward_pre_hook(lambda module, args: given.extend(args[:2]))
    batch = {"input_ids": torch.randint(0, 20, (4, 9))}
    model(**batch)
    handle.remove()
    with torch.no_grad():
        rows = given[0].reshape(-1, 8)[(given[1].reshape(-1, 2) == 1).any(dim=1)]
        if kind == "Mixtral":
            gate, up = (rows @ experts.gate_up_proj[1].T).chunk(2, dim=-1)
            hidden, outgoing = nn.functional.silu(gate) * up, experts.down_proj[1].T
        else:
            both = rows @ experts.gate_up_proj[1] + experts.gate_up_proj_bias[1]
            gate, up = both[:, ::2].clamp(max=7.0), both[:, 1::2].clamp(-7.0, 7.0)
            hidden, outgoing = (up + 1) * gate * torch.sigmoid(1.702 * gate), experts.down_proj[1]
    expected = effective_neurons(*(one.detach().double().numpy() for one in (hidden.T, outgoing)))
    found = inspect(model, batch).table.filter(measure="effective_neurons", layer="layers.0.mlp.experts.1.gate_up_proj")
    assert found["kind"].to_list() == ["gate", "up"]
    assert found["value"].to_list() == pytest.approx([expected, expected], rel=1e-4)
    assert all(1 <= null <= 8 for null in found["null"])


def test_a_model_sharded_over_one_process_is_whole(tmp_path):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model, x = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2)), torch.randn(20, 5)
    expected = inspect(model, x)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        found = inspect(model, x)
    finally:
        torch.distributed.destroy_process_group()
    assert found.table.equals(expected.table)
    assert found.left_out.equals(expected.left_out)


def test_inspecting_leaves_a_model_as_it_was():
    model = resnet().train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random, modes = torch.get_rng_state(), [module.training for module in model.modules()]
    inspect(model, torch.randn(4, 3, 9, 9, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert modes == [module.training for module in model.modules()]
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_model_that_has_no_shape_yet_is_not_given_one():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.LazyLinear(3))
    assert inspect(model).layers["layer"].to_list() == ["0"]
    with pytest.raises(ArchitectureError, match=r"2\.weight has no shape yet"):
        inspect(model, np.ones((5, 4)))
    assert nn.parameter.is_lazy(model[2].weight)


class Turned(nn.Module):
    """Complex weights turn what enters; a frequency each."""

    def __init__(self):
        super().__init__()
        self.turn = nn.Parameter(torch.polar(torch.ones(4), torch.rand(4)))
        self.hidden, self.out = nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x):
        return self.out(torch.tanh(self.hidden(torch.fft.irfft(torch.fft.rfft(x) * self.turn, n=6))))


def test_arrays_enter_a_model_as_real_numbers_whose_first_weights_are_complex():
    torch.manual_seed(0)
    model, x = Turned(), torch.randn(20, 6)
    found = inspect(model, x.double().numpy())
    assert found.table.equals(inspect(model, x).table)
    assert "effective_neurons" in found.layers.columns


def test_parametrized_weights_are_measured_as_what_they_make():
    model = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    found = inspect(model)
    assert norms(found)["weight", "linear", None] == pytest.approx(torch.linalg.norm(model.weight).item())
    assert "it is measured as part of weight" in found.left_out["reason"].to_list()


MADE = {
    "spectral norm": nn.utils.spectral_norm,
    "weight norm": nn.utils.weight_norm,
    "pruning": lambda layer: nn.utils.prune.l1_unstructured(layer, "weight", 0.5),
    "spectral parametrization": nn.utils.parametrizations.spectral_norm,
    "orthogonal parametrization": nn.utils.parametrizations.orthogonal,
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_weights_made_before_each_pass_are_measured_as_the_next_one_has_them(make):
    torch.manual_seed(0)
    model, x = nn.Sequential(make(nn.Linear(4, 9)), nn.Tanh(), make(nn.Linear(9, 3))).train(), torch.randn(20, 4)
    model(x)
    with torch.no_grad():
        # A step of an optimizer, of which the attribute tells nothing before the next pass.
        for parameter in model.parameters():
            parameter.add_(0.3)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = inspect(model, x)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    file = inspect({**model.state_dict(), "last.weight": torch.ones(2, 3)})
    model.eval()(x)
    for layer in ("0", "2"):
        norm = torch.linalg.norm(model[int(layer)].weight).item()
        assert norms(found)[layer, "linear", None] == pytest.approx(norm)
    parts = {name for name, _ in model.named_parameters() if name[:2] == "0." and name != "0.bias"}
    for one in (found, file):
        assert all("0.weight" in dict(one.left_out.rows())[part] for part in parts)
    # The others in their place are not random, so nothing is said of chance.
    assert found.table.filter(measure="effective_neurons").select("layer", "null").rows() == [("0", None)]
    if make is not MADE["orthogonal parametrization"]:
        assert norms(file)["0", "linear", None] == pytest.approx(norms(found)["0", "linear", None])
    # A state dict is compared by what the model makes of it, whichever of the two it is.
    start, plain = inspect(model, reference=state), {f"{at}.weight": model[int(at)].weight.detach() for at in "02"}
    plain |= {f"{at}.bias": model[int(at)].bias.detach() for at in "02"}
    assert start.table.filter(measure="relative_distance")["value"].to_list() == [0.0, 0.0]
    for one, other in ((model, plain), (plain, model)):
        distances = inspect(one, reference=other).table.filter(measure="relative_distance")["value"]
        assert distances.to_list() == pytest.approx([0.0, 0.0], abs=1e-6)


NORMED = {
    "transposed spectral": lambda: nn.utils.spectral_norm(nn.ConvTranspose1d(4, 4, 3)),
    "transposed spectral parametrization": lambda: nn.utils.parametrizations.spectral_norm(nn.ConvTranspose1d(4, 4, 3)),
    "one size": lambda: nn.utils.weight_norm(nn.Linear(4, 5), dim=None),
    "a size each column": lambda: nn.utils.weight_norm(nn.Linear(4, 5), dim=1),
    "size parametrization": lambda: nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 5, 3)),
    "mask": lambda: nn.utils.prune.random_unstructured(nn.Conv1d(4, 5, 3), "weight", 0.4),
}


@pytest.mark.parametrize("make", NORMED.values(), ids=NORMED)
def test_what_pytorch_makes_of_the_parts_in_a_state_dict_is_measured(make):
    torch.manual_seed(0)
    model = make().train()
    for _ in range(20):
        model(torch.randn(2, 4, 4) if "Conv" in type(model).__name__ else torch.randn(2, 4))
    found = inspect(model.state_dict(), reference=model)
    assert found.table.filter(measure="relative_distance")["value"].item() < 1e-6
    assert not [note for note in found.notes if "spectral" in note]
    assert set(found.left_out["reason"]) == {"it is measured as part of weight"}


def test_a_spectral_norm_that_has_not_been_run_is_told():
    torch.manual_seed(0)
    model = nn.Sequential(nn.utils.spectral_norm(nn.Linear(8, 12)), nn.Tanh(), nn.Linear(12, 2))
    for one in (model, model.state_dict()):
        (note,) = inspect(one, activation="tanh").notes
        assert "spectral norm has not been run in 0, as before the first forward pass" in note
    model.train()(torch.randn(3, 8))
    for one in (model, model.state_dict()):
        assert inspect(one, activation="tanh").notes == ()


def adapted(**settings):
    """A GPT-2 with low-rank adapters that change what it computes, and the model itself."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["c_attn", "c_fc", "c_proj", "wte"], **settings)
    model = peft.get_peft_model(gpt2(), config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name and "magnitude" not in name:
                parameter.normal_(0, 0.3)
    return model


@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, {"use_dora": True}], ids=["LoRA", "rsLoRA", "DoRA"])
@pytest.mark.filterwarnings("ignore")
def test_weights_with_adapters_are_measured_as_their_sum(settings):
    if "use_dora" in settings:
        settings = settings | {"exclude_modules": ["wte"]}
    model = adapted(**settings)
    batch = {"input_ids": torch.randint(0, 20, (4, 6))}
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = inspect(model, batch)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    reasons = dict(found.left_out.rows())
    layer = "transformer.h.0.mlp.c_fc"
    for part in ("base_layer.weight", "lora_A.default.weight", "lora_B.default.weight"):
        assert reasons[f"{layer}.{part}"] == f"it is measured as part of {layer}.weight"
    # A name alone tells no scale, so a state dict has the parts.
    assert any("adapters (LoRA)" in note for note in inspect(model.state_dict()).notes)
    merged = inspect(model.merge_and_unload(), batch)
    assert found.notes == merged.notes
    values = [one.table.select("layer", "kind", "head", "measure", "value", "null") for one in (found, merged)]
    same = ["layer", "kind", "head", "measure"]
    assert values[0].select(same).equals(values[1].select(same))
    assert values[0]["value"].to_list() == pytest.approx(values[1]["value"].to_list(), rel=1e-4, abs=1e-6)
    nulls = values[0].filter(measure="effective_neurons")["null"]
    # Nothing can be put in the place of what a norm is taken of.
    assert nulls.null_count() == (len(nulls) if "use_dora" in settings else 0)


@pytest.mark.filterwarnings("ignore")
def test_adapters_are_measured_as_they_act_and_their_distance_is_from_the_model_beside_them():
    model = adapted(modules_to_save=["lm_head"])
    base = {name.replace(".base_layer", ""): value for name, value in model.base_model.model.state_dict().items()}
    layer = "transformer.h.1.mlp.c_proj"
    delta = model.get_submodule(f"base_model.model.{layer}").get_delta_weight("default")
    plain = {name: value for name, value in base.items() if "lora_" not in name and "modules_to_save" not in name}
    plain = {name.replace(".original_module", ""): value for name, value in plain.items()}
    with torch.no_grad():
        model.base_model.model.lm_head.modules_to_save["default"].weight.mul_(3.0)
    found = inspect(model, reference=plain)
    distance = found.table.filter(layer=layer, kind="down", measure="relative_distance")["value"].item()
    both = plain[f"{layer}.weight"], plain[f"{layer}.bias"]
    assert distance == pytest.approx((delta.norm() / torch.cat([one.ravel() for one in both]).norm()).item(), rel=1e-4)
    assert found.table.filter(layer="lm_head", measure="relative_distance")["value"].item() == pytest.approx(2.0)
    assert dict(found.left_out.rows())["lm_head.original_module.weight"] == "another one acts in its place"
    with model.disable_adapter():
        off = inspect(model, reference=plain)
    assert set(off.table.filter(measure="relative_distance")["value"]) == {0.0}
    assert dict(off.left_out.rows())[f"{layer}.lora_A.default.weight"] == "it belongs to an adapter that is not active"


def test_a_model_s_own_parts_keep_their_names_where_wrappers_have_the_same():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.module = nn.Linear(3, 4), nn.Sequential()
            self.module.fc = nn.Linear(3, 5)

    for one in (Own(), Own().state_dict()):
        assert inspect(one).layers["layer"].to_list() == ["fc", "module.fc"]


def test_a_compiled_module_has_the_names_of_its_own():
    model = nn.Sequential(nn.Linear(4, 3))
    assert inspect(torch.compile(model)).table.equals(inspect(model).table)


class Evil:
    def __reduce__(self):
        return print, ("run",)


def write_evil(path):
    torch.save({"w": Evil()}, path)


def write_half(path):
    torch.save({"w": torch.ones(9, 9)}, path)
    path.write_bytes(path.read_bytes()[:400])


WRONG = {
    "code": (write_evil, "wants to run code when it is opened"),
    "a module": (lambda path: torch.save(nn.Linear(2, 2), path), "wants to run code when it is opened"),
    "a tensor": (lambda path: torch.save(torch.ones(2, 2), path), "holds a tensor and no state dict"),
    "numbers": (lambda path: torch.save({"a": 1}, path), "holds no state dict, but 'a'"),
    "text": (lambda path: path.write_text("hello"), "is no .*file of torch.save's"),
    "a program": (lambda path: torch.jit.script(nn.Linear(2, 2)).save(path), "is a TorchScript program"),
    "half of it": (lambda path: write_half(path), "it is cut off or damaged"),
    "nothing": (lambda path: path.write_bytes(b""), "is no .*file of torch.save's"),
}


@pytest.mark.parametrize(("write", "sentence"), WRONG.values(), ids=WRONG)
def test_files_that_are_no_state_dicts(write, sentence, tmp_path, capsys):
    write(tmp_path / "model.pt")
    with pytest.raises(DataError, match=sentence):
        inspect(tmp_path / "model.pt")
    assert "run" not in capsys.readouterr().out


def test_modules_that_cannot_be_measured():
    with torch.device("meta"):
        empty = nn.Linear(3, 2)
    odd = {
        "no layer that can be measured in Linear .weight: it is on the meta device": lambda: inspect(empty),
        "no layer that can be measured in ReLU": lambda: inspect(nn.ReLU()),
        "give the units 1 row": lambda: inspect(
            nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), np.ones((1, 3))
        ),
        "The model Linear cannot take the inputs": lambda: inspect(nn.Linear(3, 2), np.ones((4, 5))),
    }
    for sentence, call in odd.items():
        with pytest.raises(ArchitectureError, match=sentence):
            call()
    broken = nn.Linear(3, 2)
    with torch.no_grad():
        broken.weight[0, 0] = float("nan")
    with pytest.raises(NucleateError, match="weight of Linear has 1 number that is NaN"):
        inspect(broken)


def test_the_model_is_found_beside_other_tensors_of_a_checkpoint(tmp_path):
    model = nn.Linear(4, 3)
    torch.save({"model": model.state_dict(), "random": torch.get_rng_state(), "step": 3}, tmp_path / "all.pt")
    found = inspect(tmp_path / "all.pt")
    assert found.table.equals(inspect(model.state_dict()).table)
    assert {"random", "step"} <= set(found.left_out["parameter"])


def test_tensors_of_every_make_are_read_or_named():
    state = {
        "view": torch.randn(6, 4, dtype=torch.complex64).conj().imag,
        "turned": torch.randn(4, 6).T,
        "small": torch.randn(6, 4).to(torch.float8_e4m3fn),
        "complex": torch.randn(6, 4, dtype=torch.complex64),
        "sparse": torch.eye(4).to_sparse(),
        "meta": torch.ones(3, 4, device="meta"),
        "nested": torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)]),
    }
    found = inspect(state)
    assert found.layers["layer"].to_list() == ["view", "turned", "small"]
    assert found.left_out["parameter"].to_list() == ["complex", "sparse", "meta", "nested"]
    assert "real and imaginary parts" in found.left_out["reason"][0]
    assert norms(found)["view", "matrix", None] == pytest.approx(torch.linalg.norm(state["view"]).item())


def test_quantized_weights_are_named():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    model[1].weight = nn.Parameter(torch.ones(2, 3, dtype=torch.int8), requires_grad=False)
    assert ("1.weight", "its numbers are int8, which are no weights as they are") in inspect(model).left_out.rows()


@pytest.mark.parametrize(
    ("forward", "directions"),
    [
        (lambda z: torch.tanh(z), 3),
        (lambda z: torch.tanh(z).reshape(z.size(0), -1) + 1, 3),
        (lambda z: torch.relu(torch.tanh(z)), 6),
        (lambda z: torch.tanh(z.contiguous().detach().flatten(1)), 3),
        (lambda z: nn.functional.hardtanh(z), 3),
        (lambda z: nn.functional.hardtanh(z, -2.0, max_val=2.0), 3),
        (lambda z: nn.functional.hardtanh(z, 0.0, 1.0), 6),
        (lambda z: z.clamp(-1.0, 1.0), 3),
        (lambda z: z.clamp(max=1.0), 6),
        (lambda z: nn.functional.logsigmoid(z), 6),
        (lambda z: z, 3),
        (lambda z: torch.sigmoid(z) * z, 6),
        (lambda z: torch.relu(z), 6),
    ],
)
def test_opposite_units_are_one_where_all_that_follows_a_layer_is_odd(forward, directions):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 6, bias=False), nn.Linear(6, 2)
            half = torch.eye(3, 4)
            self.first.weight.data = torch.cat([half, -half])

        def forward(self, x):
            return self.last(forward(self.first(x)))

    found = inspect(Model(), torch.randn(9, 4)).table.filter(layer="first", measure="directions")
    assert found["value"].item() == directions


CONV, POOL, MEAN = nn.Conv2d(1, 6, 2, bias=False), nn.MaxPool2d(2), nn.AvgPool2d(2)


@pytest.mark.parametrize(
    ("behind", "directions"),
    [
        ((nn.Tanh(), nn.Conv2d(6, 2, 1)), 3),
        ((nn.Tanh(), MEAN, nn.Flatten(), nn.Linear(6, 2)), 3),
        ((nn.Tanh(), nn.BatchNorm2d(6), nn.Conv2d(6, 2, 1)), 3),
        ((nn.Sequential(MEAN, nn.Tanh()), nn.Sequential(nn.Conv2d(6, 2, 1))), 3),
        ((nn.Conv2d(6, 2, 1),), 3),
        ((nn.Tanh(),), 3),
        ((nn.Tanh(), POOL, nn.Conv2d(6, 2, 1)), 6),
        ((POOL, nn.Tanh(), nn.Conv2d(6, 2, 1)), 6),
        ((nn.Tanh(), nn.ReLU(), nn.Conv2d(6, 2, 1)), 6),
        ((nn.Sequential(nn.Tanh()), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 1)), 6),
        ((nn.BatchNorm2d(6), nn.Tanh(), nn.Conv2d(6, 2, 1)), 6),
        ((nn.ReLU(), nn.Conv2d(6, 2, 1)), 6),
    ],
)
def test_opposite_kernels_are_one_where_all_that_follows_in_a_sequence_is_odd(behind, directions):
    half = torch.eye(3, 4).reshape(3, 1, 2, 2)
    CONV.weight.data = torch.cat([half, -half])
    model = nn.Sequential(CONV, *behind)
    for given in ({}, {"inputs": torch.randn(9, 1, 3, 3)}):
        found = inspect(model, **given).table.filter(layer="0", measure="directions")
        assert found["value"].item() == directions


def test_what_follows_a_sequence_within_a_model_is_not_known():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.last = nn.Sequential(nn.Linear(4, 6, bias=False), nn.Tanh()), nn.Linear(6, 2)
            half = torch.eye(3, 4)
            self.body[0].weight.data = torch.cat([half, -half])

        def forward(self, x):
            return self.last(self.body(x))

    def directions(**given):
        found = inspect(Model(), **given)
        return found.table.filter(layer="body.0", measure="directions")["value"].item(), any(
            "body.0" in note for note in found.notes
        )

    assert directions() == (6, True)
    assert directions(activation="tanh") == (3, False)
    assert directions(inputs=torch.randn(9, 4)) == (3, False)


def test_a_sequence_with_a_forward_of_its_own_is_not_read_as_one():
    class Residual(nn.Sequential):
        def forward(self, x):
            return x + super().forward(x)

    half = torch.eye(3, 4)
    first = nn.Linear(4, 6, bias=False)
    first.weight.data = torch.cat([half, -half])
    model = nn.Sequential(first, Residual(nn.Linear(6, 6), nn.Tanh()), nn.ReLU(), nn.Linear(6, 2))
    for given in ({}, {"inputs": torch.randn(9, 4)}):
        found = inspect(model, **given)
        assert found.table.filter(layer="0", measure="directions")["value"].item() == 6
        assert any("Opposite vectors" in note and "0" in note for note in found.notes)


class Members(nn.Module):
    """One matrix for each member of an ensemble, as torch.baddbmm takes them."""

    def __init__(self, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4, 5))
        self.bias = nn.Parameter(torch.zeros(3, 1, 5)) if bias else None


class OwnConvolution(nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4, 3))
        self.bias = nn.Parameter(torch.zeros(6)) if bias else None


@pytest.mark.parametrize("bias", [True, False])
def test_a_stack_of_matrices_is_not_taken_for_kernels(bias):
    found = inspect(nn.ModuleList([Members(bias), nn.Linear(4, 3)]))
    assert found.layers["layer"].to_list() == ["1"]
    assert ("0.weight", "which of its 3 axes has the units is not known") in found.left_out.rows()


@pytest.mark.parametrize("bias", [True, False])
def test_kernels_of_a_convolution_of_one_s_own_are_kernels(bias):
    (layer,) = inspect(OwnConvolution(bias)).layers.iter_rows(named=True)
    assert (layer["kind"], layer["units"]) == ("kernel", 6)


def opt():
    config = transformers.OPTConfig(
        vocab_size=20, hidden_size=8, ffn_dim=16, num_hidden_layers=1, num_attention_heads=2, word_embed_proj_dim=8,
        max_position_embeddings=12,
    )  # fmt: skip
    return transformers.OPTForCausalLM(config)


def test_the_mlp_of_a_decoder_that_has_no_module_of_its_own_is_one():
    found = inspect(opt().eval(), {"input_ids": torch.arange(12).reshape(2, 6)})
    kinds = dict(found.layers.select("layer", "kind").iter_rows())
    assert kinds["model.decoder.layers.0.fc1"] == "up"
    assert kinds["model.decoder.layers.0.fc2"] == "down"
    assert found.table.filter(layer="model.decoder.layers.0.fc1", measure="effective_neurons")["value"].len() == 1
