"""Files of reduced PyTorch modules: run again, held against the module, and told what they cost.

They need PyTorch, Torch-Pruning and onnxscript (`make test-extras`).
"""

import json
from copy import deepcopy

import numpy as np
import onnxruntime
import pytest
from safetensors import safe_open

import nucleate
from nucleate import ArchitectureError, NucleateError, SpecError
from nucleate.reduction import BeforeAfter, Timing

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")
pytest.importorskip("onnxscript")
from safetensors.torch import load_file  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")

nn = torch.nn


def rows(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def reduced(module, *inputs, keep=0.5):
    module.eval()
    with torch.no_grad():
        outputs = module(*inputs)
    return nucleate.reduce(module, (*inputs, outputs.argmax(1)), keep=keep)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    convolutions = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
    return reduced(
        nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 3)), rows(120, 1, 4, 4)
    )


def run(path, **inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0], session.get_modelmeta().custom_metadata_map


def test_an_onnx_file_answers_as_the_module_for_any_number_of_rows_and_says_what_is_guaranteed(small, tmp_path):
    path = tmp_path / "small.onnx"
    said = small.export(path)
    for number in (1, 2, 70):
        x = rows(number, 1, 4, 4)
        answers, metadata = run(path, x=x.numpy())
        np.testing.assert_allclose(answers, small.module(x).detach(), atol=1e-5)
    assert metadata["certificate"] == str(small.certificate)
    assert json.loads(metadata["widths"])["0"] == {"before": 8, "after": 4}
    assert b".py" not in path.read_bytes()
    assert said.bytes == path.stat().st_size
    assert said.rows == small.certificate.rows
    assert said.largest_difference < 1e-5
    assert str(path) in str(said)


def test_a_file_of_8_bits_is_smaller_and_says_what_that_changed(small, tmp_path):
    path = tmp_path / "small.onnx"
    said = small.export(path, quantize=True)
    held = small.parts.certification
    answers, metadata = run(path, x=held.inputs.numpy())
    original = torch.softmax(small.original(held.inputs).double(), 1).detach().numpy()
    moved = np.abs(torch.softmax(torch.tensor(answers).double(), 1).numpy() - original)
    assert said.quantized.certificate.largest_deviation == pytest.approx(moved.max())
    assert said.quantized.certificate.rows == len(held)
    assert said.quantized.test.after == np.mean(answers.argmax(1) == held.targets.numpy())
    assert said.largest_difference == pytest.approx(np.abs(answers - small.module(held.inputs).detach().numpy()).max())
    assert said.largest_difference > 1e-5
    assert said.quantized.bytes.after == said.bytes == path.stat().st_size
    assert metadata["certificate"] == str(said.quantized.certificate)
    assert f"{said.quantized.bytes.before:,} without" in str(said)


def test_a_safetensors_file_holds_the_numbers_and_the_widths(small, tmp_path):
    path = tmp_path / "small.safetensors"
    said = small.export(path)
    other = deepcopy(small.module)
    for layer in other:
        getattr(layer, "reset_parameters", lambda: None)()
    other.load_state_dict(load_file(path))
    x = rows(9, 1, 4, 4)
    torch.testing.assert_close(other(x), small.module(x), rtol=0, atol=0)
    assert said.largest_difference == 0
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["widths"])["5"] == {"before": 16, "after": 8}
        assert file.metadata()["deviation"] == repr(small.certificate.largest_deviation)


def test_weights_that_are_shared_are_written_once(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.up, self.down = nn.Embedding(7, 4), nn.Linear(4, 12), nn.Linear(12, 4)
            self.head = nn.Linear(4, 7, bias=False)
            self.head.weight = self.token.weight

        def forward(self, tokens):
            x = self.token(tokens).mean(1)
            return self.head(x + self.down(torch.relu(self.up(x))))

    torch.manual_seed(0)
    small = reduced(Tied(), torch.randint(7, (120, 3)))
    assert small.export(tmp_path / "tied.safetensors").largest_difference == 0
    assert len({"token.weight", "head.weight"} & set(load_file(tmp_path / "tied.safetensors"))) == 1


class Masked(nn.Module):
    """Takes its inputs by name, one of which it does not use, and returns several things."""

    def __init__(self):
        super().__init__()
        self.token, self.up, self.down = nn.Embedding(7, 4), nn.Linear(4, 12), nn.Linear(12, 3)

    def forward(self, ids, unused=None, mask=None):
        x = (self.token(ids) * mask[..., None]).sum(1)
        return {"logits": self.down(torch.tanh(self.up(x))), "embedded": x}


def test_inputs_by_name_are_those_of_the_file(tmp_path):
    torch.manual_seed(0)
    ids, mask = torch.randint(7, (120, 3)), torch.rand(120, 3).round()
    module = Masked().eval()
    small = nucleate.reduce(module, {"ids": ids, "unused": mask, "mask": mask}, keep=0.5)
    assert small.export(tmp_path / "masked.onnx").largest_difference < 1e-5
    answers, _ = run(tmp_path / "masked.onnx", ids=ids[:5].numpy(), mask=mask[:5].numpy(), unused=mask[:5].numpy())
    np.testing.assert_allclose(answers, small.module(ids[:5], mask=mask[:5])["logits"].detach(), atol=1e-5)


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("small.pt", {}, r"ends in '.pt'; expected .onnx or .safetensors"),
        ("nowhere/small.onnx", {}, r"The folder .*nowhere for small.onnx does not exist"),
        ("small.safetensors", {"quantize": True}, r"cannot be quantized.*choose one that ends in .onnx"),
        ("small.onnx", {"quantize": "int4"}, r"`quantize` is 'int4'; it must be True or False"),
    ],
)
def test_where_no_such_file_can_go_one_sentence_says_so(small, tmp_path, path, options, said):
    with pytest.raises(SpecError, match=said):
        small.export(tmp_path / path, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_departs_from_the_module_is_not_written(small, tmp_path, monkeypatch):
    from nucleate.reduction.modules.onnx_file import OnnxFile

    answers = OnnxFile.outputs
    monkeypatch.setattr(OnnxFile, "outputs", lambda file, rows: answers(file, rows) + 1)
    with pytest.raises(NucleateError, match=r"would depart from the reduced module by 1, so it was not written"):
        small.export(tmp_path / "small.onnx")
    assert list(tmp_path.iterdir()) == []


class Branching(nn.Module):
    """Goes another way for other numbers, which no graph of it can."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(3, 8), nn.Linear(8, 2)

    def forward(self, x):
        inner = torch.relu(self.up(x))
        return self.down(inner if inner.sum() > 0 else -inner)


def test_a_module_that_cannot_be_written_as_onnx_is_told_in_one_sentence(tmp_path):
    torch.manual_seed(0)
    small = reduced(Branching(), rows(120, 3))
    with pytest.raises(
        ArchitectureError, match=r"^The Branching cannot be written as ONNX .*; write a .safetensors file"
    ) as told:
        small.export(tmp_path / "small.onnx")
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []
    assert small.export(tmp_path / "small.safetensors").largest_difference == 0


def test_timings_are_of_both_modules_by_torch_and_by_onnxruntime_and_leave_the_threads_as_they_are(small):
    torch.set_num_threads(2)
    try:
        timings = small.timings
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert [(timing.by, timing.rows) for timing in timings] == [
        ("torch", 1),
        ("torch", 64),
        ("onnxruntime", 1),
        ("onnxruntime", 64),
    ]
    assert all(timing.seconds.before > 0 < timing.seconds.after for timing in timings)
    assert all(str(timing) in str(small) for timing in timings)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (0.004, 0.002, "1 row in torch on one thread: 4 ms before, 2 ms after, 2 times as fast."),
        (0.00205, 0.002, "1 row in torch on one thread: 2.05 ms before, 2 ms after, which is not faster."),
        (0.002, 0.003, "1 row in torch on one thread: 2 ms before, 3 ms after, which is slower."),
    ],
)
def test_what_is_not_faster_is_said_not_to_be(before, after, said):
    assert str(Timing("torch", 1, BeforeAfter(before, after))) == said


def test_a_file_certifies_the_module_as_it_is_when_it_is_written(tmp_path):
    module = reduced(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3)), rows(120, 3))
    before = module.certificate.largest_deviation
    with torch.no_grad():
        module.module[0].weight.zero_()
    module.export(tmp_path / "small.safetensors")
    with safe_open(tmp_path / "small.safetensors", "np") as file:
        assert float(file.metadata()["deviation"]) > 2 * before


def test_training_that_diverged_is_refused():
    def train(module):
        with torch.no_grad():
            module[0].weight.fill_(float("nan"))

    with pytest.raises(SpecError, match="not finite"):
        nucleate.reduce(
            nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3)),
            (rows(120, 3), torch.arange(120) % 3),
            keep=0.5,
            fine_tune=train,
        )
