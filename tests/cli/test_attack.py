"""A part of the fuzz of command lines that `benchmarks/attack.py` runs: nothing that must never happen does."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "attack.py"


def test_forty_command_lines_end_with_an_answer_or_a_sentence(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("attack", SCRIPT)
    attack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(attack)
    attack.make_files(tmp_path)
    codes, wrong = attack.attack_commands(40, first=1000, seed=1, folder=tmp_path, every=20)
    assert not wrong, capsys.readouterr().out
    assert set(codes) == {0, 2}
    assert codes.total() == 40
