"""Every decision of the system, pure: no input or output, no clock, no chance."""
