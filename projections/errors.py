"""What can go wrong with a view.

ViewError is the base:

- ViewUnavailable: the database does not answer now; nothing was written, try again
  - ViewMissing: the database answers and holds no views yet
- QueryTimeout: a query took longer than it may
- ViewMismatch: another log's view, a newer version's, or a server that is too old
- PositionConflict: the view is not where its writer believed it to be
- AccessRefused: a server does not let this program in, or is not whom it says it is
- EmbeddedError: the PostgreSQL of the wheel cannot be made or started
"""


class ViewError(Exception):
    """Base of the view's errors."""


class ViewUnavailable(ViewError):
    """The database cannot be reached or broke off; the transaction did not happen."""


class ViewMissing(ViewUnavailable):
    """The database holds no views: its project flow makes them when it starts."""


class QueryTimeout(ViewError):
    """A query took longer than its limit and was cancelled."""


class ViewMismatch(ViewError):
    """The database holds a view that this program or this log must not write."""


class PositionConflict(ViewError):
    """Another writer, or a restored database, moved the position; read it again and go on there."""


class AccessRefused(ViewError):
    """User, password, rights or certificate are wrong: waiting does not help."""


class EmbeddedError(ViewError):
    """The embedded PostgreSQL cannot be made, started or reached."""
