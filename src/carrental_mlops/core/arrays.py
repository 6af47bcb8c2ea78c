"""Array types that the rooms above share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Values = Sequence[Any] | NDArray[Any]
"""One value a row, of whatever type."""
