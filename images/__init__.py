"""Where evidence pictures are kept."""
