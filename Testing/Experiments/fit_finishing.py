"""Fit how masks taper and what neighbors weigh: the numbers of `propagators/finishing.py` and `CLASSICAL_EXCESS`."""

from __future__ import annotations

from tuning_scripts import fit

GRIDS = {
    "AT_THE_END": (0.0, 0.8, 1.2, 1.4, 1.6, 1.8, 2.0, 2.4, 3.2),
    "NEIGHBOR": (0.0, 0.05, 0.107, 0.15, 0.2, 0.274),
    "CERTAIN": (3.0, 4.0, 5.0, 6.0, 7.0, 9.0),
    "CLASSICAL_EXCESS": (0.0, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6),
}

if __name__ == "__main__":
    fit("fit_finishing", __doc__, GRIDS, ways=("pair", "classical"))
