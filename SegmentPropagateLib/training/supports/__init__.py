"""Learning to read slices of finished cases, as SAM2-SGP does: `finetune --recipe sgp`."""
