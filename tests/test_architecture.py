"""Which part may import what."""

import subprocess
import sys

import pytest

LIGHT = ("config", "losses", "runs", "metrics", "judges", "tables", "stages", "cli", "data", "data.health")
APP_CORE = ("jobs", "watching", "worker", "plan", "charts", "paper", "results", "labels", "agreement", "ask", "uploads")
FULL_SIZE = (
    "processes",
    "store",
    "endpoint",
    "data.recall",
    "forecast",
    "forecast_tables",
    "hardware",
    "sizes",
    "cluster",
)
HEAVY = ("torch", "transformers", "peft", "accelerate", "streamlit", "gradio")


@pytest.mark.parametrize("module", LIGHT + APP_CORE + FULL_SIZE)
def test_a_light_module_loads_no_model_library(module: str):
    script = f"import sys, safeeraser.{module}; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []
