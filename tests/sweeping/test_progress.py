"""What is shown to a person who waits."""

from nucleate.problems import load_problem
from nucleate.studies import make_spec
from nucleate.sweeping.progress import Progress, show_progress
from nucleate.sweeping.runner import run_study

SPEC = make_spec(data="sine-5d", hidden=[4], gains=[1.0], seeds=2, steps=200, evaluations=8, batch_size=16)


def shown(progress, capsys):
    with show_progress() as show:
        show(progress)
    return capsys.readouterr().err


def test_nothing_of_the_line_is_cut_where_there_is_no_terminal(capsys):
    line = shown(Progress(3, 27, 0.4, 0.0123, (1.0, 12.5)), capsys)
    for part in ("3/27 runs", "0:00:00", "-:--:-- left", "loss 0.0123, effective neurons 1.0 / 12.5"):
        assert part in line


def test_on_a_narrow_terminal_the_times_stay_whole(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    line = shown(Progress(30_000, 30_000, 0.4, 0.0123, (1.0, 12.5)), capsys)
    assert "30000/30000 runs" in line
    assert "0:00:00" in line
    assert "-:--:--" in line


def test_before_the_first_step_it_counts_the_runs_and_says_what_it_waits_for(capsys):
    line = shown(Progress(0, 27, 0.0), capsys)
    assert "0/27 runs" in line
    assert "compiling" in line
    assert "finished already" in shown(Progress(27, 27, 1.0), capsys)


def test_a_study_tells_where_it_stands_before_it_compiles_and_when_there_is_nothing_to_do(tmp_path):
    told = []
    run_study(SPEC, load_problem("sine-5d"), tmp_path / "study", on_progress=told.append)
    assert told[0] == Progress(0, 2, 0.0)
    assert told[1].loss > 0
    assert (told[-2].runs_finished, told[-2].share, len(told[-2].effective_neurons)) == (2, 1.0, 1)
    assert str(told[-1]) == "comparing with simpler models"
    again = []
    run_study(SPEC, load_problem("sine-5d"), tmp_path / "study", on_progress=again.append)
    assert again == [Progress(2, 2, 1.0)]


def test_of_a_model_without_measured_layers_only_the_loss_is_told(capsys):
    assert "neurons" not in shown(Progress(1, 2, 0.5, 0.25), capsys)
