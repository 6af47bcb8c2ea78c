"""Load against a running service: scenario, k6, verdict, reports."""

from carrental_mlops.loadtest.run import LoadTest, Outcome, run_load_test
from carrental_mlops.loadtest.scenario import Limits, Scenario, scenario_of

__all__ = ["Limits", "LoadTest", "Outcome", "Scenario", "run_load_test", "scenario_of"]
