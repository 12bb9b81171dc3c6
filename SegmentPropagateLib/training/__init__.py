"""Phantoms, fine-tuning on annotated volumes, and the training of the bundled starter model."""
