"""The catalogue of problems that are known by name; it loads none of them."""

from typing import NamedTuple


class ProblemInfo(NamedTuple):
    """A line of the catalogue; rows are those of all three parts, inputs and outputs those of a network.

    Parameters
    ----------
    name, task : str
    rows, inputs, outputs : int
    source : str
    """

    name: str
    task: str
    rows: int
    inputs: int
    outputs: int
    source: str


_CATALOGUE = (
    ProblemInfo(
        "diabetes", "regression", 442, 10, 1, "Disease progression after a year; Efron et al. 2004, by scikit-learn"
    ),
    ProblemInfo(
        "breast_cancer",
        "classification",
        569,
        30,
        2,
        "Benign or malignant tumour; Wolberg et al. 1995, by scikit-learn",
    ),
    ProblemInfo("wine", "classification", 178, 13, 3, "Cultivar from chemistry; Forina et al. 1988, by scikit-learn"),
    ProblemInfo(
        "digits",
        "classification",
        1797,
        61,
        10,
        "Handwritten digits of 8 x 8; Alpaydin and Kaynak 1998, by scikit-learn",
    ),
    ProblemInfo("iris", "classification", 150, 4, 3, "Species from flower sizes; Fisher 1936, by scikit-learn"),
    ProblemInfo("linnerud", "regression", 20, 3, 3, "Physique from exercise; Tenenhaus 1998, by scikit-learn"),
    ProblemInfo(
        "elevation", "regression", 5000, 2, 1, "Rough terrain at the Jacksboro fault, height from place; by matplotlib"
    ),
    ProblemInfo(
        "sine-5d", "regression", 1080, 5, 1, "Synthetic sum of 3.5 sin(5 x + 1); Zhou et al. 2022, 80 to train"
    ),
    ProblemInfo(
        "four-relu-1d", "regression", 1040, 1, 1, "Synthetic sum of four ReLUs; after Luo et al. 2021, 40 to train"
    ),
    ProblemInfo("teacher-3", "regression", 1200, 10, 1, "Synthetic tanh teacher of 3 neurons; 200 to train"),
    ProblemInfo(
        "digits-8x8", "classification", 1797, 64, 10, "The digits as images of 8 x 8 x 1, from 0 to 1, every pixel"
    ),
    ProblemInfo(
        "digits-1d",
        "classification",
        3000,
        40,
        10,
        "Ten curves moved, stretched, disturbed; after Greydanus and Kobak 2020 (length=40,rows=2000,noise=0.25)",
    ),
    ProblemInfo(
        "anchor-identity",
        "classification",
        3000,
        9,
        70,
        "The item behind an anchor; after Zhang et al. 2024 (length=9,items=40,rows=2000)",
    ),
    ProblemInfo(
        "anchor-single",
        "classification",
        3000,
        9,
        70,
        "That item plus what its anchor adds; Zhang et al. 2024 (length=9,items=40,rows=2000)",
    ),
    ProblemInfo(
        "anchor-pairs",
        "classification",
        3000,
        9,
        70,
        "Two anchors composed, one pair held out; Zhang et al. 2024 (length=9,items=40,rows=2000,exception=1)",
    ),
    ProblemInfo(
        "modular-addition", "classification", 961, 3, 31, "a + b modulo p; after Power et al. 2022 (p=31,share=0.5)"
    ),
    ProblemInfo(
        "in-context-regression",
        "regression",
        3000,
        36,
        1,
        "A linear function told by examples; after Garg et al. 2022 (inputs=3,examples=8,rows=2000,noise=0)",
    ),
)


def describe_problems() -> tuple[ProblemInfo, ...]:
    """A line for each problem that `load_problem` knows by name: the real ones first, then the synthetic.

    Returns
    -------
    tuple of ProblemInfo
    """
    return _CATALOGUE


def problem_names() -> tuple[str, ...]:
    """The names that `load_problem` knows.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> problem_names()[0]
    'diabetes'
    """
    return tuple(info.name for info in _CATALOGUE)
