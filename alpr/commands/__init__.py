"""Commands that only connect rooms."""
