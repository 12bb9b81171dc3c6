"""Registration, patches, region growing and a stop rule; needs no torch."""
