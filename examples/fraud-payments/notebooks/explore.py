# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
#   kernelspec:
#     name: python3
# ---
# %% [markdown]
# # fraud-payments
# Opens as a notebook with jupytext. Run from the repo's root: `PYTHONPATH=src python notebooks/explore.py`.

# %%
from pathlib import Path

from carrental_mlops.testing import run_pipeline

from fraud_payments.pipelines import FraudTraining

results = run_pipeline(FraudTraining, Path.cwd())

# %% [markdown]
# What each step returned is here by the step's name.

# %%
print(results["features"].describe())
print(results["evaluate"].metrics)
