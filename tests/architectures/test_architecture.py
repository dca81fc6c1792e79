"""A description of a model names it in a study: swept, stored, resumed, opened again and refused where it must be."""

import jax.numpy as jnp
import numpy as np
import pytest

import nucleate
from nucleate import Architecture, ArchitectureError, DataError, InitScale, SpecError
from nucleate.architectures import get_architecture
from nucleate.models import count_parameters, load_model, save_model
from nucleate.studies import make_spec

from ..cli.asking import ask, refusal

pytestmark = pytest.mark.slow

GAIN = InitScale("gain", 1.0)
CONV = {"name": "conv", "channels": [3], "kernel": 5, "stride": 4, "pool": 2}
GRID = {"gains": [1.0, 0.1], "lrs": [0.1], "steps": 6, "evaluations": 4, "progress": False}
DATA = "digits-1d:length=24,rows=60"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return nucleate.sweep(DATA, model=CONV, out=tmp_path_factory.mktemp("conv") / "study", **GRID)


def test_it_is_told_by_its_name_and_its_options():
    conv = get_architecture(CONV)
    assert conv == Architecture("conv", pool=2, stride=4, channels=(3,), kernel=5)
    assert get_architecture(conv.to_json()) == conv
    assert hash(conv) == hash(get_architecture(conv))
    assert get_architecture("transformer").to_json() == {"name": "transformer"}


def test_it_makes_the_models_that_create_makes():
    made = Architecture("conv", channels=[3], shape=(24, 1))(24, 10, GAIN, 4)
    own = nucleate.ConvNetwork.create((24, 1), [3], 10, scale=GAIN, seed=4)
    np.testing.assert_array_equal(made.kernels[0], own.kernels[0])
    assert made.describe() == own.describe()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Architecture("convnet"), "There is no model 'convnet'"),
        (lambda: Architecture("conv", chanels=[3]), "conv has no option 'chanels'; did you mean 'channels'"),
        (
            lambda: Architecture("conv")(36, 1, GAIN, 0),
            r"shape of a row of 36 numbers; say it by .?shape=\[28, 28, 1\]",
        ),
        (
            lambda: Architecture("conv", shape=(8, 8, 1))(61, 1, GAIN, 0),
            "reads rows of 8 x 8 x 1, which are 64 numbers, and the data have 61",
        ),
        (lambda: Architecture("conv").on((9,), 50), "rows are of 50 tokens by their numbers, and the model conv would"),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_sentence(make, said):
    with pytest.raises(ArchitectureError, match=said):
        make()


def test_a_spec_takes_the_shape_of_the_rows_from_the_problem():
    of_tokens = make_spec(data="modular-addition:p=7", gains=[1.0], model="transformer").model
    assert of_tokens.to_json() == {"name": "transformer", "shape": [3], "tokens": 8}
    assert make_spec(data="diabetes", gains=[1.0], model="conv").model == Architecture("conv")
    # A shape of one's own leaves the tokens to the problem.
    own = {"name": "transformer", "shape": (3,)}
    assert make_spec(data="modular-addition:p=7", gains=[1.0], model=own).model == of_tokens
    own = {"name": "transformer", "shape": (2, 5)}
    assert make_spec(data="diabetes", gains=[1.0], model=own).model == get_architecture(own)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "cnn"}, "here is no model 'cnn'"),
        ({"model": "conv", "hidden": [8]}, "he model 'conv' makes its own architecture; leave out 'hidden'"),
        ({"model": "conv", "dropout": 0.5}, "dropout. is 0.5, but it drops hidden neurons of fully connected"),
        ({"data": "anchor-pairs", "model": "conv"}, "^The rows are of 70 tokens"),
        ({"data": "anchor-pairs", "model": {"name": "conv", "shape": (9, 1)}}, "^The rows are of 70 tokens"),
        ({"data": "digits-8x8", "model": "transformer"}, r"^The rows are 8 x 8 x 1, and .* shape=\[8, 8\]"),
        ({"data": "text:none.txt", "model": "transformer"}, "^There is no file none.txt"),
        ({"model": {"name": "conv", "heads": 2}}, "^The model conv has no option 'heads'; there are shape"),
        ({"data": "anchor-pairs:lenght=3", "model": "conv"}, "has no such option; did you mean 'length'"),
    ],
    ids=["name", "hidden", "dropout", "tokens", "tokens of a shape", "image", "text", "other's option", "option"],
)
def test_a_spec_refuses_what_does_not_go_together(fields, said):
    with pytest.raises(SpecError, match=said):
        make_spec(**{"data": "digits-1d", "gains": [1.0]} | fields)


def test_a_study_is_stored_opened_resumed_and_reported(study, tmp_path):
    assert study.layers == ("conv1",)
    assert study.results["effective_neurons_conv1"].is_between(1, 3).all()
    assert study.forecasts["run"].to_list() == study.results["run"].to_list()
    opened = nucleate.Study.load(study.path)
    assert opened.spec == study.spec
    assert opened.spec.model == get_architecture(CONV).on((24, 1))
    # Files need no model like theirs: the spec makes it.
    for at in ("initial", "best", "final"):
        np.testing.assert_array_equal(opened.network(1, at).kernels[0], study.network(1, at).kernels[0])
    before = study.results
    (study.path / "results" / "chunk-00000.parquet").unlink()
    assert nucleate.sweep(opened, progress=False).results.equals(before)
    page = nucleate.report(study, out=tmp_path / "report.html").read_text("utf-8")
    assert "model conv (channels 3, kernel 5" in page
    assert "which this study has not seen yet" not in page
    assert "The models of this study are not reduced" in page


def test_a_problem_made_in_python_tells_its_shape_and_an_own_activation_its_definition(tmp_path):
    problem = nucleate.load_problem(DATA)
    cubed, other = (
        nucleate.Activation("cubed", lambda z, k=k: z + jnp.tanh(z) ** k, 1, 1.0, 1.0, parity="odd") for k in (3, 5)
    )
    model = Architecture("conv", channels=[2], kernel=5, stride=4, activation=cubed)
    study = nucleate.sweep(problem, model=model, out=tmp_path / "study", **GRID | {"gains": [1.0]})
    assert study.spec.model == model.on((24, 1))
    assert [*study.spec.definitions] == ["activation 'cubed'"]
    opened = nucleate.Study.load(study.path)
    assert opened.spec.model.activation.name == "cubed"
    assert opened.results.equals(study.results)
    again = Architecture("conv", channels=[2], kernel=5, stride=4, activation=other)
    with pytest.raises(nucleate.StudyError, match="activation 'cubed'"):
        nucleate.sweep(problem, model=again, out=tmp_path / "study", **GRID | {"gains": [1.0]})


def test_what_is_of_networks_is_refused(study, tmp_path):
    model, problem = study.network(0), study.load_problem()
    with pytest.raises(SpecError, match="Stairs are forecast of fully connected networks"):
        nucleate.forecast(model, problem, learning_rate=0.1, stairs=1)
    with pytest.raises(SpecError, match="A ConvNetwork cannot be exported"):
        nucleate.export(model, problem, tmp_path / "model.onnx")
    with pytest.raises((SpecError, ArchitectureError, nucleate.StudyError), match=r"fully connected|nucleate\.Network"):
        nucleate.reduce_study(study)


def test_a_model_is_saved_and_loaded_to_the_bit(tmp_path):
    model = Architecture("transformer", tokens=5, shape=(3,), width=4)(3, 5, GAIN, 0)
    save_model(model, tmp_path / "model.safetensors")
    loaded = load_model(
        tmp_path / "model.safetensors", like=Architecture("transformer", tokens=5, shape=(3,), width=4)(3, 5, GAIN, 1)
    )
    x = np.array([[0.0, 4.0, 2.0]])
    np.testing.assert_array_equal(loaded(x), model(x))
    assert count_parameters(model) == 5 * 4 + 3 * 4 + 4 * 16 + 2 * 64 + 5 * 4


def test_the_command_line_takes_it(tmp_path):
    flags = "--model transformer --width 4 --mlp 6 --bidirectional --no-residual --readout mean --activation relu"
    grid = f"--gain 0.5 --lr 0.1 --steps 6 --evaluations 4 --out {tmp_path / 'study'}"
    answer = ask("train", "modular-addition:p=5", *flags.split(), *grid.split())
    assert answer.exit_code == 0, answer.stderr
    study = nucleate.Study.load(tmp_path / "study")
    assert study.layers == ("embedding", "query1", "key1", "value1", "output1", "mlp_in1", "mlp_out1")
    told = (
        "3 of 6 tokens, 1 layer, 1 head, width 4, hidden 6, bidirectional, no residual, mean, 5 outputs, relu, float32"
    )
    assert study.network(0).describe() == f"Transformer({told})"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("train iris --channels 3", "--channels is an option of another model than networks; give --model too."),
        ("train iris --model conv", "of 4 numbers; say it by --shape, as --shape 28,28,1."),
        ("train digits-1d --model conv --heads 2", ": The model conv has no option --heads; there are shape, channels"),
        ("train digits-1d --model conv --kernel 41 --padding valid", "The kernel of layer 1 is 41 wide"),
        ("forecast digits-1d --model conv --stairs 2", "fully connected"),
    ],
)
def test_the_command_line_refuses_in_a_sentence(arguments, said, tmp_path):
    assert said in refusal(*arguments.split(), cwd=tmp_path)


def test_data_that_a_model_cannot_read_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such option"):
        nucleate.load_problem("digits-1d:size=3")
    problem = nucleate.load_problem("iris")
    model = Architecture("transformer", tokens=5, shape=(4,), width=4)(4, 3, GAIN, 0)
    with pytest.raises(ArchitectureError, match="tokens have the whole numbers 0 to 4; give the tokens' numbers, not"):
        nucleate.train(model, problem, steps=2)
