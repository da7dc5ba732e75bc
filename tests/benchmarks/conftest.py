"""The benchmarks are programs beside the sources, and are not installed."""

from __future__ import annotations

import sys
from pathlib import Path

# At the end, so that bee itself is the one that is installed.
sys.path.append(str(Path(__file__).resolve().parents[2]))
