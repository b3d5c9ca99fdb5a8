"""Arms: zero-shot, full fine-tuning and every parameter-efficient method, chosen by name."""
