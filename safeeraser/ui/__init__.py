"""All Streamlit code that is not a page: frame, state, pictures, answers, charts. Nothing here loads a model."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # the checkout: it has app.py and pages/
