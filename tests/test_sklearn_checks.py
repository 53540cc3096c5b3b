"""scikit-learn's own checks of an estimator, all of them, at the default settings.

Trainings are brief but for the checks that ask for good clusters.
"""

import os
import subprocess
import sys

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from gmvae.sklearn import GaussianMixtureVAE
from gmvae.training.recipe import EFFORTS

# With scikit-learn 1.9; a change of base classes or tags that lost some would be seen.
AT_LEAST = 51


@pytest.fixture(autouse=True)
def brief(request, monkeypatch):
    if "check_clustering" not in request.node.name:
        monkeypatch.setitem(EFFORTS, "quick", 0.01)


@parametrize_with_checks([GaussianMixtureVAE()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_no_check_is_lost():
    checks = [check for _, check in estimator_checks_generator(GaussianMixtureVAE())]
    names = {getattr(check, "func", check).__name__ for check in checks}
    assert {"check_clustering", "check_transformer_general", "check_n_features_in"} <= names
    assert len(checks) >= AT_LEAST, sorted(names)


def test_the_check_that_needs_another_mode_of_scipy():
    """scikit-learn leaves this one out unless SciPy was told, before it was imported."""
    code = """
from sklearn.utils.estimator_checks import check_array_api_input
from gmvae.sklearn import GaussianMixtureVAE
from sklearn.utils.estimator_checks import estimator_checks_generator
ran = [check(estimator) for estimator, check in estimator_checks_generator(GaussianMixtureVAE())
       if "array_api" in getattr(check, "func", check).__name__]
assert len(ran) == 1, ran
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | {"SCIPY_ARRAY_API": "1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
