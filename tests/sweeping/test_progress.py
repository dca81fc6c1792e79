"""What is shown to a person who waits."""

import pytest

from nucleate.problems import load_problem
from nucleate.studies import make_spec
from nucleate.sweeping import Progress, run_study
from nucleate.sweeping.pace import Pace
from nucleate.sweeping.progress import show_progress

SPEC = make_spec(data="sine-5d", hidden=[4], gains=[1.0], seeds=2, steps=200, records=8, batch_size=16)


def shown(progress, capsys):
    with show_progress() as show:
        show(progress)
    return capsys.readouterr().err


def test_nothing_of_the_line_is_cut_where_there_is_no_terminal(capsys):
    line = shown(Progress(3, 27, 0.4, 0.0123, (1.0, 12.5), 4000.4), capsys)
    for part in ("3/27 runs", "0:00:00", "1:06:40 left", "loss 0.0123, effective neurons 1.0 / 12.5"):
        assert part in line


def test_on_a_narrow_terminal_the_times_stay_whole(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    line = shown(Progress(30_000, 30_000, 0.4, 0.0123, (1.0, 12.5), 360_000), capsys)
    assert "30000/30000 runs" in line
    assert "4 days, 4:00:00 left" in line


def test_before_the_first_step_it_counts_the_runs_and_says_what_it_waits_for(capsys):
    line = shown(Progress(0, 27, 0.0), capsys)
    assert "0/27 runs" in line
    assert "compiling" in line
    assert "left" not in line
    assert "finished already" in shown(Progress(27, 27, 1.0), capsys)


@pytest.mark.parametrize("seconds_a_look", [0.0, 0.02, 2.0])
def test_the_time_left_is_right_from_three_percent_on_however_much_looks_cost(seconds_a_look):
    pace = Pace()
    at, records = 0, [1, 2, 3, 5, 9, 17, 33, 65, 125, 250, 500, 750, 1000]
    for look, step in enumerate(records, start=1):
        pace.took(0.01 * (step - at) + seconds_a_look, steps=step - at, looks=1)
        at, looks = step, len(records) - look
        left = pace.left(steps=1000 - step, looks=looks)
        assert left == (None if step < 30 else pytest.approx(0.01 * (1000 - step) + seconds_a_look * looks))


def test_a_process_that_takes_up_a_study_judges_by_its_own_steps():
    pace = Pace()
    pace.took(1.0, steps=2, looks=1)
    assert pace.left(steps=100, looks=4) is None
    pace.took(1.0, steps=2, looks=1)
    assert pace.left(steps=100, looks=4) is not None


def test_a_study_tells_where_it_stands_before_it_compiles_and_when_there_is_nothing_to_do(tmp_path):
    told = []
    run_study(SPEC, load_problem("sine-5d"), tmp_path / "study", told.append)
    assert told[0] == Progress(0, 2, 0.0)
    assert told[1].loss > 0
    assert (told[-1].runs_finished, told[-1].share, told[-1].seconds_left) == (2, 1.0, 0.0)
    again = []
    run_study(SPEC, load_problem("sine-5d"), tmp_path / "study", again.append)
    assert again == [Progress(2, 2, 1.0)]
