# Two commands: `make demo` and `make test`. Both need Python 3.11 or 3.12 and nothing else:
# uv is taken from the PATH, or put into .uv/ from the Python package index.
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)

demo: $(filter .uv/%,$(UV))
	$(UV) run alpr demo

test: $(filter .uv/%,$(UV))
	$(UV) run pytest

.uv/bin/uv:
	python3 -m venv .uv && .uv/bin/pip install --quiet uv

.PHONY: demo test
