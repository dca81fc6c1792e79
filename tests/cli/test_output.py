"""What commands say beside their tables."""

import pytest
import typer

from nucleate.cli.output import say_interrupted, working


def test_an_interrupted_forecast_says_that_nothing_is_kept(capsys):
    with pytest.raises(typer.Exit) as left, working("simulating"):
        raise KeyboardInterrupt
    assert left.value.exit_code == 130
    assert capsys.readouterr().err.endswith("nucleate: interrupted while simulating; nothing is kept.\n")


def test_an_interrupted_study_says_what_is_kept_and_where(tmp_path, capsys):
    assert say_interrupted(tmp_path) == 130
    assert capsys.readouterr().err == "nucleate: interrupted; nothing is kept.\n"
    (tmp_path / "spec.json").touch()
    say_interrupted(tmp_path)
    assert f"what is done is kept in {tmp_path}. The same command goes on from there." in capsys.readouterr().err
