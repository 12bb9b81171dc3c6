"""Fit the network's share in its mean with the classical propagator: the numbers of `propagators/partner.py`."""

from __future__ import annotations

from tuning_scripts import fit

GRIDS = {
    "NETWORK_SHARE": (0.0, 0.2, 0.3, 0.35, 0.4, 0.43, 0.46, 0.5, 0.55, 0.6, 0.7, 1.0),
    "LEADING_SHARE": (0.43, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 1.0),
    "DOUBT": (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6),
}

if __name__ == "__main__":
    fit("fit_partner", __doc__, GRIDS, ways=("pair",))
