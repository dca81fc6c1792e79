"""Problems with rows of a known shape: what their rows and targets are, and what is held out of training."""

import numpy as np
import pytest

from nucleate import DataError
from nucleate.problems import load_problem
from nucleate.problems.catalogue import row_shape_of

FIRST_ITEM = 20
SHIFTS = np.array([5, 1, -2, -8])


def parts(problem):
    return problem.train, problem.validation, problem.test


def answers(part):
    return part.y.argmax(axis=1)


def anchors_of(part):
    """The anchors of each row from the left, and the token behind the last of them."""
    found = []
    for row in part.x.astype(int):
        at = np.flatnonzero(row < len(SHIFTS))
        assert (np.diff(at) == 1).all()
        found.append((tuple(row[at].tolist()), row[at[-1] + 1]))
    return found


def test_anchor_identity_asks_for_the_item_behind_the_anchor_and_holds_pairs_out():
    problem = load_problem("anchor-identity:length=5,items=12,rows=300")
    assert problem.row_shape == ((5,), 42)
    for part in parts(problem):
        assert [key for _, key in anchors_of(part)] == answers(part).tolist()
        assert part.x.max() < FIRST_ITEM + 12
    seen, validated, tested = ({(a, key) for (a,), key in anchors_of(part)} for part in parts(problem))
    assert all((a + key - FIRST_ITEM) % 5 == 0 for a, key in tested)
    assert not any((a + key - FIRST_ITEM) % 5 == 0 for a, key in seen | validated)
    # Every anchor and every item of the test occurs in training, only not together.
    assert {a for a, _ in tested} <= {a for a, _ in seen}
    assert {key for _, key in tested} <= {key for _, key in seen}


def test_anchor_single_adds_what_the_anchor_stands_for():
    problem = load_problem("anchor-single:rows=100")
    for part in parts(problem):
        assert [key + SHIFTS[a] for (a,), key in anchors_of(part)] == answers(part).tolist()


@pytest.mark.parametrize("exception", [0, 1])
def test_anchor_pairs_composes_and_the_held_out_pair_is_the_test(exception):
    problem = load_problem(f"anchor-pairs:rows=400,exception={exception}")
    pairs = []
    for part in parts(problem):
        rows = part.x.astype(int)
        at = (rows < len(SHIFTS)).argmax(axis=1)
        assert ((rows < len(SHIFTS)).sum(axis=1) == 2).all()
        key, first, second = rows[np.arange(len(rows)), at + np.arange(-1, 2)[:, None]]
        shift = SHIFTS[first] + SHIFTS[second]
        shift[(first == 2) & (second == 3)] = -6 if exception else -10
        np.testing.assert_array_equal(answers(part), key + shift)
        # In training a key never stands at the place that validation and test have it at.
        assert set((key % 7 == at - 1).tolist()) == {part is not problem.train}
        pairs.append(set(zip(first.tolist(), second.tolist(), strict=True)))
    assert pairs[0] == pairs[1] == {(a, b) for a in range(4) for b in range(4)} - {(3, 2)}
    assert pairs[2] == {(3, 2)}
    assert "pair of anchors (4, 3) alone" in problem.notes[0]
    assert "model" in problem.notes[-1]


def test_modular_addition_has_each_pair_once():
    problem = load_problem("modular-addition:p=7,share=0.6")
    x = np.concatenate([part.x for part in parts(problem)])
    y = np.concatenate([answers(part) for part in parts(problem)])
    assert sorted(map(tuple, x.tolist())) == [(a, b, 7.0) for a in range(7) for b in range(7)]
    np.testing.assert_array_equal(y, x[:, :2].sum(axis=1) % 7)
    assert [len(part.x) for part in parts(problem)] == [29, 10, 10]
    assert problem.row_shape == ((3,), 8)


def test_in_context_regression_is_told_by_the_examples_of_its_row():
    problem = load_problem("in-context-regression:inputs=2,examples=5,rows=50")
    assert problem.row_shape == ((6, 3), None)
    for part in parts(problem):
        for row, answer in zip(part.x.reshape(-1, 6, 3), part.y[:, 0], strict=True):
            w = np.linalg.lstsq(row[:-1, :2], row[:-1, 2], rcond=None)[0]
            assert row[-1, 2] == 0
            assert w @ row[-1, :2] == pytest.approx(answer, abs=1e-9)
    noisy = load_problem("in-context-regression:inputs=2,examples=5,rows=50,noise=1").train.x.reshape(-1, 6, 3)
    assert np.linalg.lstsq(noisy[0, :-1, :2], noisy[0, :-1, 2], rcond=None)[1] > 0


def test_digits_as_images_are_those_of_scikit_learn_with_every_pixel():
    from sklearn.datasets import load_digits

    problem, bunch = load_problem("digits-8x8"), load_digits()
    rows = np.concatenate([np.column_stack([part.x, answers(part)]) for part in parts(problem)])
    own = np.column_stack([bunch.data / 16, bunch.target])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], own[np.lexsort(own.T)])
    assert problem.row_shape.sizes == (8, 8, 1)


def test_signals_are_told_apart_by_their_templates_and_not_by_their_places():
    quiet = load_problem("digits-1d:noise=0,rows=200,length=60")
    x, digits = quiet.train.x, answers(quiet.train)
    assert np.bincount(digits).tolist() == [20] * 10
    # Those of one digit are moved and stretched: their energy lies elsewhere.
    centres = (np.square(x) @ np.arange(60)) / np.square(x).sum(axis=1)
    assert all(centres[digits == digit].std() > 2 for digit in range(10))
    noisy = load_problem("digits-1d:noise=1,rows=200,length=60").train.x
    assert np.diff(noisy).std() > 2 * np.diff(x).std()


def test_a_text_is_windows_of_its_characters_that_cross_no_part(tmp_path):
    told = "".join(f"{k:04d}," for k in range(400))
    (tmp_path / "numbers.txt").write_text(told)
    problem = load_problem(f"text:{tmp_path / 'numbers.txt'},length=7,rows=90")
    assert problem.row_shape == ((7,), 11)
    characters = sorted(set(told))
    bounds = [0, 1200, 1600, 2000]
    for part, start, end in zip(parts(problem), bounds, bounds[1:], strict=False):
        for row, answer in zip(part.x.astype(int), answers(part), strict=True):
            window = "".join(characters[token] for token in row) + characters[answer]
            assert window in told[start:end]
    assert [len(part.x) for part in parts(problem)] == [90, 22, 22]
    assert problem.preprocessing.labels == tuple(characters)


def test_an_unseen_character_is_told(tmp_path):
    (tmp_path / "odd.txt").write_text("ab" * 400 + "z" * 20)
    problem = load_problem(f"text:{tmp_path / 'odd.txt'},length=4")
    assert any("does not have 'z'" in note for note in problem.notes)


@pytest.mark.parametrize("name", ["digits-1d:rows=30", "anchor-pairs:rows=30", "digits-8x8"])
def test_they_are_drawn_by_the_split_seed(name):
    a, b, again = (load_problem(name, split_seed=seed) for seed in (0, 1, 0))
    assert a.data_hash == again.data_hash != b.data_hash
    assert a.name == name
    np.testing.assert_array_equal(a.preprocessing.transform(a.test_rows), a.test.x)


def test_only_named_ones_have_a_shape():
    assert row_shape_of("digits-1d:length=20") == ((20, 1), None)
    assert row_shape_of("diabetes") is None
    assert load_problem("iris").row_shape is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("anchor-pairs:rows", "anchor-pairs:rows gives no value of rows; write rows=2000, or another number"),
        ("anchor-pairs:a,b", "asks for 'a', and anchor-pairs has no such option; there are length, items, rows"),
        ("anchor-pairs:row=3", "no such option; did you mean 'rows'"),
        ("anchor-pairs:rows=many", "gives rows as 'many'; it must be a whole number"),
        ("digits-1d:noise=much", "gives noise as 'much'; it must be a number"),
        ("anchor-pairs:length=3", "length is 3; it must be 4 or more"),
        ("modular-addition:share=1", "share is 1; it must be from 0.05 to 0.95"),
        ("digits-8x8:rows=3", "no such option"),
        ("text:absent.txt", "There is no file absent.txt"),
    ],
)
def test_an_option_that_cannot_be_is_refused(data, said):
    with pytest.raises(DataError, match=said):
        load_problem(data)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"target": "x1"}, "digits-1d is a synthetic classification problem; leave the target and the task out"),
        ({"task": "regression"}, "synthetic classification problem"),
        ({"loss": "squared"}, "synthetic classification problem"),
        ({"standardize": True}, "read as they are; leave standardize out"),
        ({"split_by": "y"}, "leave out what says another split"),
        ({"decimal": ","}, "these data are none; leave it out"),
    ],
)
def test_what_they_do_not_take_is_refused(given, said):
    with pytest.raises(DataError, match=said):
        load_problem("digits-1d", **given)


def test_a_text_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "short.txt").write_text("abc")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe" * 900)
    with pytest.raises(DataError, match="has 3 characters, 3 different ones; windows of 16 need 500 or more"):
        load_problem(f"text:{tmp_path / 'short.txt'}")
    with pytest.raises(DataError, match="is not UTF-8"):
        load_problem(f"text:{tmp_path / 'binary.txt'}")
    with pytest.raises(DataError, match="cannot be read"):
        load_problem(f"text:{tmp_path}")
    (tmp_path / "japanese.txt").write_bytes(("凝縮する。" * 200).encode("shift_jis"))
    with pytest.raises(DataError, match=r"is not UTF-8 \(at byte 1\); save it as UTF-8"):
        load_problem(f"text:{tmp_path / 'japanese.txt'}")
    (tmp_path / "empty.txt").touch()
    with pytest.raises(DataError, match="has 0 characters"):
        load_problem(f"text:{tmp_path / 'empty.txt'}")
    with pytest.raises(DataError, match="text: names no file; write its path behind the colon"):
        load_problem("text:")
    with pytest.raises(DataError, match=r"options stand behind a comma: text:.*short.txt,length=2\)"):
        load_problem(f"text:{tmp_path / 'short.txt'}:length=2")


def test_the_mark_of_an_encoding_is_no_token(tmp_path):
    told = "abcde" * 120
    for name, encoding in (("with.txt", "utf-8-sig"), ("without.txt", "utf-8")):
        (tmp_path / name).write_text(told, encoding)
    parts = [load_problem(f"text:{tmp_path / name}") for name in ("with.txt", "without.txt")]
    assert parts[0].row_shape.tokens == parts[1].row_shape.tokens == 5
    np.testing.assert_array_equal(parts[0].train.x, parts[1].train.x)
