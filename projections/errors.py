"""What can go wrong with a view.

ViewError is the base:

- ViewUnavailable: the database does not answer now; nothing was written, try again
- QueryTimeout: a query took longer than it may
- ViewMismatch: another log's view, a newer version's, or a server that is too old
- PositionConflict: the view is not where its writer believed it to be
- EmbeddedError: the PostgreSQL of the wheel cannot be made or started
"""


class ViewError(Exception):
    """Base of the view's errors."""


class ViewUnavailable(ViewError):
    """The database cannot be reached or broke off; the transaction did not happen."""


class QueryTimeout(ViewError):
    """A query took longer than its limit and was cancelled."""


class ViewMismatch(ViewError):
    """The database holds a view that this program or this log must not write."""


class PositionConflict(ViewError):
    """Another writer, or a restored database, moved the position; read it again and go on there."""


class EmbeddedError(ViewError):
    """The embedded PostgreSQL cannot be made, started or reached."""
