"""Keys lie beside the views: what is done to those leaves them alone."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.access import AccessKeys, Role
from projections.rebuild import drop_old, rebuild
from projections.schema import migrate
from schemas.codec import Codec


def test_keys_and_sessions_outlive_a_rebuild_of_the_views(url: str, tmp_path: Path):
    with (
        closing(AccessKeys(url)) as keys,
        closing(SqliteLog(tmp_path / "log", partitions=1)) as log,
        closing(SqliteRegistry(tmp_path / "log")) as registry,
    ):
        migrate(url, log_uuid=log.uuid)
        key, text = keys.create("gate", Role.VIEWER, timedelta(days=1))
        session = keys.open_session(key.key_id)
        rebuild(url, log, Codec(registry))
        drop_old(url)
        assert keys.by_key(text)
        assert keys.by_session(session)
