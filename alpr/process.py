"""What every process of ours does first: say how it logs, and send its traces."""

from alpr.logs import configure
from alpr.settings import Settings
from alpr.tracing import trace_to_collector


def begin_process(name: str, settings: Settings, debug: bool = False) -> None:
    """Log in the settings' form and trace, both as ``name``. Raises ConfigError."""
    configure(debug, form=settings.log_format, process=name)
    trace_to_collector(name)
