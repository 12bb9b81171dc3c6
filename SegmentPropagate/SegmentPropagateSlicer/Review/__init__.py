"""What was found and what of it is kept: keys, previews, worth a look, accepting."""
