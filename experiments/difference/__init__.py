"""What finetuning left behind, read without knowing what to look for."""
