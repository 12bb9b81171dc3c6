"""Fine-tuning on annotated volumes."""
