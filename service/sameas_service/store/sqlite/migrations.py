"""The tables, as migrations of sqlite-utils.

`message` is the ledger; its rows are never rewritten, but for the mark of a struck link. All
else is derived from it. Devices and users have integer surrogates, so that the ledger's rows
and indexes stay small. A position is two columns: `at` (twice the event time in microseconds,
plus one for a reset) and the message id, compared as bytes.
"""

import sqlite3

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from sameas_service.domain.kinds import Kind
from sameas_service.store.sqlite.ledger import CLAIMS

APPLICATION_ID = 0x73616D65  # "same"

migrations = Migrations("sameas")


@migrations()
def m0001_initial(db: Database) -> None:
    """Create the ledger, and the tables of identity and profiles."""
    for statement in _INITIAL:
        db.execute(statement)


_INITIAL = (
    """
    CREATE TABLE workspace (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        session_gap INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE message (
        seq INTEGER PRIMARY KEY,
        workspace INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        kind INTEGER NOT NULL,
        at INTEGER NOT NULL,
        device INTEGER,
        user INTEGER,
        source INTEGER,
        struck INTEGER,
        client_time INTEGER,
        sent_at INTEGER,
        received_at INTEGER NOT NULL,
        outcome INTEGER NOT NULL,
        speaks INTEGER NOT NULL,
        event TEXT NOT NULL,
        payload TEXT NOT NULL,
        context TEXT NOT NULL
    ) STRICT
    """,
    "CREATE UNIQUE INDEX message_by_id ON message (workspace, message_id)",
    # What a device did before anybody signed in: timelines, and the walk to a visit's start.
    """
    CREATE INDEX message_by_device ON message (device, at, message_id)
    WHERE user IS NULL AND device IS NOT NULL
    """,
    # A user's own messages: timelines.
    """
    CREATE INDEX message_by_user ON message (user, at, message_id)
    WHERE user IS NOT NULL
    """,
    # Claims: where one user's run on a device goes on or ends.
    f"""
    CREATE INDEX message_claim ON message (device, user, at, message_id)
    WHERE device IS NOT NULL AND user IS NOT NULL AND {CLAIMS.replace("message.", "")}
    """,
    # Links, struck ones too, by either user: as-of reads and explanations follow them.
    "CREATE INDEX message_link ON message (source) WHERE source IS NOT NULL",
    """
    CREATE INDEX message_linked ON message (ifnull(user, struck))
    WHERE source IS NOT NULL
    """,
    # Messages that speak of traits, for a fold.
    """
    CREATE INDEX message_speaks_user ON message (user, at, message_id)
    WHERE speaks = 1 AND user IS NOT NULL
    """,
    """
    CREATE INDEX message_speaks_device ON message (device, at, message_id)
    WHERE speaks = 1 AND user IS NULL
    """,
    """
    CREATE TABLE user (
        id INTEGER PRIMARY KEY,
        workspace INTEGER NOT NULL,
        name TEXT NOT NULL,
        canonical INTEGER NOT NULL,
        named INTEGER NOT NULL,
        UNIQUE (workspace, name)
    ) STRICT
    """,
    "CREATE INDEX user_canonical ON user (canonical)",
    """
    CREATE TABLE device (
        id INTEGER PRIMARY KEY,
        workspace INTEGER NOT NULL,
        name TEXT NOT NULL,
        last_at INTEGER NOT NULL,
        last_id TEXT NOT NULL,
        owner INTEGER,
        segment_at INTEGER NOT NULL,
        segment_id TEXT NOT NULL,
        visit_at INTEGER,
        visit_id TEXT,
        visit_known INTEGER NOT NULL,
        has_operations INTEGER NOT NULL,
        UNIQUE (workspace, name)
    ) STRICT
    """,
    # A row holds the positions from its start to the next row's. A device's first segment
    # has no row until it is claimed; a later one has a row without an owner.
    """
    CREATE TABLE span (
        device INTEGER NOT NULL,
        start_at INTEGER NOT NULL,
        start_id TEXT NOT NULL,
        owner INTEGER,
        claim_at INTEGER,
        claim_id TEXT,
        PRIMARY KEY (device, start_at, start_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX span_owner ON span (owner, device) WHERE owner IS NOT NULL",
    # The same with its end, which belongs to the next row or is after everything.
    """
    CREATE VIEW stretch AS
    SELECT
        device, start_at, start_id, owner,
        ifnull((
            SELECT start_at FROM span AS behind
            WHERE behind.device = span.device
                AND (behind.start_at, behind.start_id) > (span.start_at, span.start_id)
            ORDER BY behind.start_at, behind.start_id LIMIT 1
        ), 4611686018427387904) AS end_at,
        ifnull((
            SELECT start_id FROM span AS behind
            WHERE behind.device = span.device
                AND (behind.start_at, behind.start_id) > (span.start_at, span.start_id)
            ORDER BY behind.start_at, behind.start_id LIMIT 1
        ), '') AS end_id
    FROM span
    """,
    """
    CREATE TABLE link (
        at INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        source INTEGER NOT NULL,
        target INTEGER NOT NULL,
        PRIMARY KEY (source, target, at, message_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX link_target ON link (target)",
    # Pairs: their claims and links up to an event time do not count. Names, not surrogates: an
    # unlink may be about ids that no other message has named yet.
    """
    CREATE TABLE unlink (
        workspace INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        device TEXT,
        user TEXT NOT NULL,
        source TEXT,
        upto INTEGER NOT NULL,
        PRIMARY KEY (workspace, message_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX unlink_user ON unlink (workspace, user)",
    # Changes of who is who: a log for those who follow it.
    """
    CREATE TABLE change (
        cursor INTEGER PRIMARY KEY,
        workspace INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        kind INTEGER NOT NULL,
        is_user INTEGER NOT NULL,
        name TEXT NOT NULL,
        person_id TEXT NOT NULL,
        former TEXT NOT NULL
    ) STRICT
    """,
    # Alias sources of a user, for the warning about a second one.
    f"""
    CREATE INDEX message_alias ON message (user, at)
    WHERE kind = {int(Kind.ALIAS)} AND user IS NOT NULL
    """,
    # Every person id that was ever handed out, and what it names.
    """
    CREATE TABLE person (
        person_id TEXT PRIMARY KEY,
        user INTEGER,
        device INTEGER,
        start_at INTEGER,
        start_id TEXT
    ) STRICT, WITHOUT ROWID
    """,
    # The fold over a person's operations; absent where it has none.
    """
    CREATE TABLE profile (
        person_id TEXT PRIMARY KEY,
        traits TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
)


@migrations()
def m0002_maintenance(db: Database) -> None:
    """Create the mark of what must be finished before the tables are used: `rebuild_mark`."""
    db.execute(
        """
        CREATE TABLE maintenance (
            task TEXT PRIMARY KEY
        ) STRICT, WITHOUT ROWID
        """
    )


@migrations()
def m0003_workspace_of_persons(db: Database) -> None:
    """Key persons and profiles by workspace, to read and replace one by itself."""
    for statement in _BY_WORKSPACE:
        db.execute(statement)


_BY_WORKSPACE = (
    "ALTER TABLE person RENAME TO person_before",
    "ALTER TABLE profile RENAME TO profile_before",
    """
    CREATE TABLE person (
        workspace INTEGER NOT NULL,
        person_id TEXT NOT NULL,
        user INTEGER,
        device INTEGER,
        start_at INTEGER,
        start_id TEXT,
        PRIMARY KEY (workspace, person_id)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE profile (
        workspace INTEGER NOT NULL,
        person_id TEXT NOT NULL,
        traits TEXT NOT NULL,
        PRIMARY KEY (workspace, person_id)
    ) STRICT, WITHOUT ROWID
    """,
    """
    INSERT INTO person
    SELECT
        coalesce(
            (SELECT workspace FROM user WHERE user.id = person_before.user),
            (SELECT workspace FROM device WHERE device.id = person_before.device)
        ),
        person_id, user, device, start_at, start_id
    FROM person_before
    """,
    """
    INSERT INTO profile
    SELECT person.workspace, person_id, profile_before.traits
    FROM person JOIN profile_before USING (person_id)
    """,
    "DROP TABLE person_before",
    "DROP TABLE profile_before",
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database to the present schema.

    sqlite-utils looks for pending migrations outside any lock, so the caller must hold one
    (the data directory's) to keep a second process out.
    """
    database = Database(connection)
    migrations.apply(database)
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
