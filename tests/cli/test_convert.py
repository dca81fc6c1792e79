"""`nucleate convert`: one start in all conventions, as a table, as flags and as JSON."""

import json

import pytest

from tests.cli.asking import ask, refusal


def test_a_row_a_layer_and_a_flag_a_convention():
    answer = ask("convert", "--gain", "0.1", "--hidden", "25,100", "--inputs", "25")
    assert answer.exit_code == 0, answer.stderr
    assert "--gain 0.1\n" in answer.stdout
    assert "--epsilon 0.02x0.02x0.01  (no one number: the layers differ)\n" in answer.stdout


def test_json_has_null_where_there_is_no_one_number():
    answer = ask("convert", "--gamma", "0.5", "--hidden", "4", "--inputs", "9", "--outputs", "3", "--json")
    content = json.loads(answer.stdout)
    assert content["widths"] == [9, 4, 3]
    assert [row["std"] for row in content["layers"]] == [0.5, 0.5]
    assert content["one_number"] == {"gain": None, "epsilon": 0.5, "gamma": 0.5, "fan_in_gamma": None}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "Give exactly one of --gain, --epsilon, --gamma and --fan-in-gamma; there is none of them."),
        (["--gain", "1", "--fan-in-gamma", "1"], "there is --gain and --fan-in-gamma."),
        (["--gain", "1x2"], "The init scale gain 1x2 has 2 numbers, and the network 3 layers"),
        (["--gain", "one"], "--gain is 'one'; it must be a number, or one for each layer with x between"),
        (["--gain", "0"], "The init scale gain is 0.0; it must be positive"),
    ],
)
def test_a_wrong_flag_is_one_sentence(flags, sentence):
    assert sentence in refusal("convert", *flags, "--hidden", "5,5", "--inputs", "3")


def test_inputs_below_one_are_one_sentence():
    assert "The widths are 0-5-1" in refusal("convert", "--gain", "1", "--hidden", "5", "--inputs", "0")
