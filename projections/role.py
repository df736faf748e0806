"""What somebody may do."""

from enum import Enum


class Role(Enum):
    """What somebody may do: viewer, operator, investigator, admin, each also what those before it.

    Beside them ``ingest``, for programs: to send reads, and nothing else; from operator on
    everybody may do that, too.
    """

    INGEST = "ingest"
    VIEWER = "viewer"
    OPERATOR = "operator"
    INVESTIGATOR = "investigator"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Whether this role is enough where ``needed`` is asked for."""
        order = list(Role)
        if needed is Role.INGEST:
            return self is not Role.VIEWER
        return self is not Role.INGEST and order.index(self) >= order.index(needed)

    @property
    def sees_plates(self) -> bool:
        """Whether, unless somebody says otherwise, plates that others see as pseudonyms are shown
        as they are.
        """
        return self.covers(Role.INVESTIGATOR)
