"""The package in the terms of others: scikit-learn's estimators."""

from nucleate.adapters._condensed import CondensedClassifier, CondensedRegressor

__all__ = ["CondensedClassifier", "CondensedRegressor"]
