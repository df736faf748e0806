"""The web API and its pages."""
