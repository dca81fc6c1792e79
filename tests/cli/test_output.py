"""What commands say beside their tables."""

import pytest
import typer

from nucleate.cli._output import working


def test_an_interrupted_forecast_says_that_nothing_is_kept(capsys):
    with pytest.raises(typer.Exit) as left, working("simulating"):
        raise KeyboardInterrupt
    assert left.value.exit_code == 130
    assert capsys.readouterr().err.endswith("nucleate: interrupted while simulating; nothing is kept.\n")
