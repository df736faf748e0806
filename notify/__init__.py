"""Deliveries of alerts: queue, channels, templates."""
