"""What is refused on the command line is named as it was given there: the flag, the value, and what to do."""

import pytest

from .asking import ask, refusal


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("train sine-5d --step 3", "There is no flag --step of `nucleate train`; did you mean '--steps'?"),
        ("problems --quick", "There is no flag --quick of `nucleate problems`; see `nucleate problems --help`."),
        ("--nope", "There is no flag --nope of `nucleate`; see `nucleate --help`."),
        ("trian", "There is no command 'trian'; did you mean 'train'?"),
        ("smelt", "There is no command 'smelt'; see `nucleate --help`."),
        ("predict model.onnx", "`nucleate predict` needs FILE; see `nucleate predict --help`."),
        ("report a b", "`nucleate report` has no use for 'b'; leave it out, or see `nucleate report --help`."),
        ("train --steps", "The flag --steps needs a value; give one."),
        ("train --json=1", "The flag --json takes no value; leave it out."),
        ("train sine-5d --steps 1.5", "--steps is '1.5'; it must be a whole number."),
        ("train sine-5d --steps 0", "--steps is 0; it must be 1 or more."),
        ("train sine-5d --lr much", "--lr is 'much'; it must be a number."),
        ("train sine-5d --lr nan", "--lr is nan, but learning rates must be positive and below 1e6."),
        ("train sine-5d --seed -1", "--seed is -1, but seeds must be from 0 to 2147483647."),
        ("sweep sine-5d --lrs 0", "--lrs is 0.0, but learning rates must be positive and below 1e6."),
        ("sweep sine-5d --seeds 0", "--seeds is 0, but the number of seeds must be from 1 to 100000."),
        (
            "sweep sine-5d --gains 1 --gammas 2",
            "Give exactly one of --gains, --epsilons, --gammas and --fan-in-gammas; there is --gains",
        ),
        (
            "train sine-5d --gain 1 --gamma 2",
            "Give exactly one of --gain, --epsilon, --gamma and --fan-in-gamma; there is --gain and",
        ),
        ("train sine-5d --gain 1x0.1", "The init scale gain 1x0.1 has 2 numbers, and the network 3 layers, the output"),
        (
            "train sine-5d --gain 1x",
            "--gain is '1x'; it must be a number, or one for each layer with x between, such as",
        ),
        ("sweep sine-5d --gains 1,1x1x1", "--gains is [1.0, '1x1x1'], but no value may stand there twice; leave the"),
        ("train sine-5d --hidden 8,,8", "--hidden is '8,,8'; it must be a list of whole numbers such as 128,128."),
        ("train sine-5d --bias al", "--bias is 'al'; it must be 'none', 'first' or 'all'; did you mean 'all'?"),
        (
            "train sine-5d --activation tahn",
            "there is no activation 'tahn'; did you mean 'tanh'? Choose one of linear,",
        ),
        ("train sine-5d --loss squard", "there is no loss 'squard'; did you mean 'squared'? Choose one of squared,"),
        ("train sine-5d --optimizer adm", "there is no optimizer 'adm'; did you mean 'adam' or 'adamw'? Choose"),
        (
            "train sine-5d --weight-decay -1",
            "--weight-decay is -1.0, but a weight decay must be 0 or more, and below 1e6.",
        ),
        ("sweep sine-5d --weight-decays 0,nan", "but a weight decay must be 0 or more, and below 1e6."),
        ("sweep sine-5d --weight-decays 0,0", "but no value may stand there twice; leave the second one out."),
        ("sweep sine-5d --weight-decays 0,,1", "--weight-decays is '0,,1'; it must be a list of numbers such as"),
        (
            "sweep sine-5d --weight-decay 0",
            "no flag --weight-decay of `nucleate sweep`; did you mean '--weight-decays'?",
        ),
        ("sweep sine-5d --optimizer adamw", "'adamw' decays weights, and nothing says by how much; give the weight"),
        (
            "train sine-5d --warmup 30 --steps 30",
            "--warmup is 30 steps, and the run has 30; make it shorter, or the run",
        ),
        ("forecast sine-5d --warmup 90 --budget 80", "--warmup is 90 steps, and the run has 80; make it shorter, or"),
        ("train sine-5d --clip 0", "--clip is 0.0; it must be more than 0"),
        ("train sine-5d --schedule cosin", "there is no schedule 'cosin'; did you mean 'cosine'? Choose one of"),
        ("train sine-6d", "There is no problem named 'sine-6d'; did you mean 'sine-5d'?"),
        ("plot x --kind phas", "There is no picture 'phas'; did you mean 'phase'? Choose one of loss, cosine,"),
        ("report x --lang jp", "There is no language 'jp'; choose one of en, ja."),
        ("reproduce blowup", "There is no experiment 'blowup'; did you mean 'blow-up'?"),
    ],
)
def test_the_flag_the_value_and_the_remedy_are_named(arguments, sentence):
    said = refusal(*arguments.split())
    assert said.startswith("nucleate: ")
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("digits", [400, 5000])
@pytest.mark.parametrize(
    "flag", ["--steps", "--batch-size", "--evaluations", "--seed", "--split-seed", "--hidden", "--lr", "--gain"]
)
def test_a_number_of_very_many_digits_is_refused_in_few_words(flag, digits):
    said = refusal("train", "sine-5d", flag, "9" * digits)
    assert len(said) < 300
    assert flag in said or "init scale gain is inf" in said


def test_a_column_is_proposed_only_where_it_is_near(tmp_path):
    (tmp_path / "own.csv").write_text("age,bmi\n" + "\n".join(f"{k},{k % 7}" for k in range(40)))
    assert "no target column 'target'; the data have columns 'age', 'bmi'." in refusal(
        "train", "own.csv", "--target", "target", cwd=tmp_path
    )
    assert "no target column 'agge'; did you mean 'age'?" in refusal(
        "train", "own.csv", "--target", "agge", cwd=tmp_path
    )


@pytest.mark.parametrize(
    "path", ["a" * 256 + ".csv", "/".join(["a"] * 3000) + ".csv", "a\0b.csv", "\udcff.csv", "/dev/zero", ".", ""]
)
@pytest.mark.parametrize("command", ["train", "report", "plot", "reduce", "train --spec", "predict model.onnx"])
def test_a_path_that_no_file_can_have_is_refused(tmp_path, command, path):
    answer = ask(*command.split(), path, cwd=tmp_path)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("nucleate: ")
    assert answer.stderr.count("\n") == 1


def test_what_is_named_in_a_file_name_or_a_column_does_not_steer_the_terminal(tmp_path):
    (tmp_path / "a\x1b[2J.csv").write_text("x[/bold]\x1b[31m,price\n" + "\n".join(f"{k},{k % 7}" for k in range(40)))
    said = refusal("train", "a\x1b[2J.csv", "--target", "y", cwd=tmp_path)
    assert "'x[/bold]\\x1b[31m'" in said
    assert "\x1b" not in said
