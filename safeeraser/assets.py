"""Where the files that ship with the project are."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# A wheel carries app.py, pages/ and assets/ inside the package; a checkout keeps them beside it.
ROOT = _PACKAGE if (_PACKAGE / "assets").is_dir() else _PACKAGE.parent
ASSETS = ROOT / "assets"
