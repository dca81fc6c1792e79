"""A spec from arguments or TOML, and one sentence for each way it can be wrong."""

import pytest

from nucleate import SpecError
from nucleate.studies import make_spec, plan_runs, read_spec


def test_the_grid_is_scales_by_rates_by_seeds_in_that_order():
    spec = make_spec(data="diabetes", gammas=[4, 0.5], lrs=[0.1, 0.01], seeds=2)
    cells = [(run.number, run.scale, run.learning_rate, run.seed) for run in plan_runs(spec)]
    assert cells[:3] == [(0, 4.0, 0.1, 0), (1, 4.0, 0.1, 1), (2, 4.0, 0.01, 0)]
    assert len(cells) == 8


def test_one_seed_starts_from_one_draw_at_every_scale():
    spec = make_spec(data="sine-5d", epsilons=[0.5, 0.25], seeds=[7], hidden=[4, 3])
    first, second = (run.network(spec, spec.load_problem()) for run in plan_runs(spec))
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
        ({}, "Give exactly one of gains, epsilons and gammas; there is none of them"),
        ({"gains": [1], "gammas": [2]}, "there is gains and gammas"),
        ({"gains": []}, "'gains' is .*, but at least one value is needed"),
        ({"gains": [1, 1]}, "no value may stand there twice"),
        ({"gains": [-1]}, "init scale gain is -1.0; it must be positive"),
        ({"gains": [1], "lrs": [0]}, "learning rates must be positive"),
        ({"gains": [1], "hidden": [0]}, "every width must be 1 or more"),
        ({"gains": [1], "seeds": 0}, "number of seeds must be from 1"),
        ({"gains": [1], "seeds": [-1]}, "seeds must be from 0"),
        ({"gains": [1], "steps": 0}, "'steps' is 0, but should be greater than or equal to 1"),
        ({"gains": [1], "activation": "tahn"}, "there is no activation 'tahn'"),
        ({"gains": [1], "optimizer": "sgd"}, "'optimizer' is 'sgd', but should be 'gd', 'momentum' or 'adam'"),
        ({"gains": [1], "learning_rate": 1}, "There is no setting 'learning_rate'; check its spelling"),
        ({"gains": "abc"}, "'gains' is 'abc', but should be a list"),
        ({"gains": [1], "records": 10**9}, "'records' is 1000000000, but should be less than or equal to 100000"),
    ],
)
def test_a_wrong_field_is_one_sentence(fields, message):
    with pytest.raises(SpecError, match=message):
        make_spec(data="diabetes", **fields)


def test_a_spec_file_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(SpecError, match=r"absent\.toml cannot be read \(No such file or directory\); check the path"):
        read_spec(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("gains = [1,")
    with pytest.raises(SpecError, match=r"bad\.toml is no TOML"):
        read_spec(tmp_path / "bad.toml")
    (tmp_path / "nothing.toml").write_text("gains = [1]")
    with pytest.raises(SpecError, match="'data' is missing"):
        read_spec(tmp_path / "nothing.toml")
