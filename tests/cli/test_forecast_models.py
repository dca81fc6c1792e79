"""`nucleate forecast` of models that are no fully connected networks."""

import json

from tests.cli.asking import ask, refusal

DATA = "anchor-identity:length=3,items=10,rows=60"
MODEL = ("--model", "transformer", "--width", "4", "--mlp", "4")
RUN = ("forecast", DATA, *MODEL, "--epsilons", "0.02", "--lrs", "0.5", "--seeds", "1", "--budget", "60")


def test_a_transformers_matrices_and_keys_are_told_and_checked():
    answer = json.loads(ask(*RUN, "--check", "--json").stdout)
    (row,) = answer["forecasts"]
    assert row["lower_10"] <= row["measured_10_percent"] <= row["upper_10"]
    names = {one["name"] for one in row["matrices"]}
    assert {"embedding", "value1", "unembedding"} <= names == set(row["measured_matrices"])
    assert [one["block"] for one in row["keys"]] == [1]
    assert answer["target_directions"] == []


def test_in_text_nothing_is_said_of_a_first_layer():
    said = ask(*RUN).stdout
    assert "As far as they were followed, keys and queries of block 1 double in" in said
    assert "first layer" not in said
    assert "condensed share" not in said


def test_stairs_are_refused():
    assert "leave out the stairs" in refusal(*RUN, "--stairs", "2")
