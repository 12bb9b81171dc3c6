"""The networks: families, building, memory banks, and the model files they come in."""
