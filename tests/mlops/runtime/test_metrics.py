"""Measures against scikit-learn's, and by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from mlops.runtime.metrics import classification_metrics, expected_calibration_error


def test_measures_agree_with_scikit_learn():
    rng = np.random.default_rng(5)
    chances = rng.dirichlet(np.ones(4), size=300)
    labels = rng.integers(0, 4, 300)
    called = chances.argmax(axis=1)

    found = classification_metrics(chances, labels, list("abcd"))

    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, called))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(labels, called, average="macro"))
    assert found["loss"] == pytest.approx(reference.log_loss(labels, chances))
    assert found["confusion_matrix"] == reference.confusion_matrix(labels, called).tolist()
    precision, recall, _, support = reference.precision_recall_fscore_support(labels, called)
    assert [row["precision"] for row in found["per_class"]] == pytest.approx(list(precision))
    assert [row["recall"] for row in found["per_class"]] == pytest.approx(list(recall))
    assert [row["examples"] for row in found["per_class"]] == list(support)


def test_a_class_that_is_neither_there_nor_called_counts_as_zero():
    found = classification_metrics(np.array([[0.9, 0.1, 0.0]]), np.array([0]), list("abc"))

    assert [row["f1"] for row in found["per_class"]] == [1.0, 0.0, 0.0]


def test_calibration_error_by_hand():
    chances = np.array([[0.9, 0.1]] * 10)
    half_right = np.array([0] * 5 + [1] * 5)

    assert expected_calibration_error(chances, half_right) == pytest.approx(0.4)
    assert expected_calibration_error(chances, np.array([0] * 9 + [1])) == pytest.approx(0.0)
