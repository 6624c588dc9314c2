"""What a training leaves on disk: snapshots, their cards, checks for resuming and fine-tuning."""
