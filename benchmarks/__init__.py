"""Figures of this project and the generated city that they and the tests are taken on."""
