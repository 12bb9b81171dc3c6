"""What implements the seam: networks, the classical method, and how their masks are finished."""
