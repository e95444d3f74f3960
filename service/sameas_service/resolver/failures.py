"""How a store fails. No exception of a driver passes the port, only these."""


class StoreError(Exception):
    """A statement failed by a fault of ours; nothing was kept."""


class StoreFull(StoreError):
    """There is no room on the disk; nothing was kept, and reads go on."""


class StoreBusy(StoreError):
    """Another program holds the database; nothing was kept, and trying again helps."""


class StoreFailed(StoreError):
    """The database cannot be read or written as it should.

    Whether the last write was kept is unknown. The process should end and not close the store:
    after a failed fsync the kernel may have dropped the pages, and would report success the
    next time.
    """


class StoreUnusable(StoreError):
    """The store cannot be opened, and the sentence says what to do about it."""


class StoreInUse(StoreUnusable):
    """Another process has the store open."""


class NoStore(StoreUnusable):
    """There is no store in this place."""


class RebuildUnfinished(StoreUnusable):
    """A rebuild was interrupted, so some derived tables are new and some are not."""

    def __init__(self) -> None:
        super().__init__(
            "a rebuild of this data directory was interrupted, so its tables cannot be used; "
            "run `sameas rebuild` again, which finishes it (the ledger itself is whole)"
        )


class UnknownWorkspace(StoreUnusable):
    """There is no such workspace."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no workspace {name}")


class NamesLost(StoreUnusable):
    """The ledger speaks of devices or users with no name, and a name is kept nowhere else."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"the names of {count:,} devices or users of the ledger are lost, which nothing "
            "can compute; restore the data directory from a backup"
        )
