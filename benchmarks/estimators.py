"""What `reduce=True` costs the scikit-learn estimators, beside the default and a linear model.

    make bench BENCHMARK=estimators

Three of scikit-learn's sets, three times five folds each, all settings at their defaults but `reduce`. The linear model
is a ridge or logistic regression whose penalty is chosen within the training rows. Printed are accuracy or R2 on the
fold left out, mean and standard error over the folds; what of the difference comes from training on fewer rows, for a
fifth certifies, and what from reducing the network that was trained on them; and the median share of the parameters
that is left. Folds share training rows, so the errors are somewhat too small.
"""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nucleate import CondensedClassifier, CondensedRegressor

SETS = {"breast_cancer": load_breast_cancer, "wine": load_wine, "diabetes": load_diabetes}
PENALTIES = np.logspace(-3, 3, 13)
FOLDS, REPEATS = 5, 3


def linear(classes: bool) -> BaseEstimator:
    model = LogisticRegressionCV(Cs=1 / PENALTIES, max_iter=10_000) if classes else RidgeCV(PENALTIES)
    return make_pipeline(StandardScaler(), model)


def measure(name: str) -> str:
    """A row of the table."""
    x, y = SETS[name](return_X_y=True)
    classes = name != "diabetes"
    kind = CondensedClassifier if classes else CondensedRegressor
    folds = (RepeatedStratifiedKFold if classes else RepeatedKFold)(n_splits=FOLDS, n_repeats=REPEATS, random_state=0)
    scores, kept = [], []
    for train, test in folds.split(x, y):
        models = [model.fit(x[train], y[train]) for model in (kind(), kind(reduce=True), linear(classes))]
        scores.append([model.score(x[test], y[test]) for model in models])
        reduction = models[1].reduction_
        assert reduction is not None
        kept.append(reduction.share_kept)
        models[1].network_ = reduction.original
        scores[-1].append(models[1].score(x[test], y[test]))
    default, reduced, line, fewer = np.transpose(scores)
    differences = (say(fewer - default, "+"), say(reduced - fewer, "+"))
    columns = (say(default), say(reduced), *differences, say(line), f"{np.median(kept):.2%}")
    return f"| {name}, {'accuracy' if classes else 'R2'} | {' | '.join(columns)} |"


def say(values: np.ndarray, sign: str = "") -> str:
    return f"{values.mean():{sign}.4f} ± {values.std(ddof=1) / len(values) ** 0.5:.4f}"


def main() -> None:
    print(f"| data | default | reduce=True | by fewer rows | by reducing | linear | parameters left |\n|{'---|' * 7}")
    for name in SETS:
        print(measure(name), flush=True)


if __name__ == "__main__":
    main()
