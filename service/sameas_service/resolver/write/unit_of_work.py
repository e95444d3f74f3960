"""What one transaction writes of one workspace, collected and written in one order."""

from dataclasses import dataclass

from sameas_service.domain.changes import Change
from sameas_service.domain.message import Message
from sameas_service.domain.receipt import Outcome
from sameas_service.domain.warnings import CallWarning
from sameas_service.resolver.facts import Holder, MessageRow, Rows, Workspace
from sameas_service.resolver.ports import WriteTransaction
from sameas_service.resolver.row_codec import payload_of


@dataclass(slots=True)
class Verdict:
    """What a new message did: the receipt, before its person has an id."""

    message: Message
    holder: Holder
    outcome: Outcome = Outcome.UNCHANGED
    absorbed: tuple[str, ...] = ()
    warnings: tuple[CallWarning, ...] = ()


class UnitOfWork:
    """Rows to write, and the one way to ask the store meanwhile.

    A question must see what this transaction has decided so far, so `ask` writes all pending
    rows before it hands out the transaction; nothing else writes. Rows of devices are put only
    when a group's messages are placed: questions about devices read spans and messages.

    Attributes:
        workspace: of all the rows.
        rows: what is pending.
        verdicts: what each message did, by message id.
        changes: what was written to the log of changes, with the message that did it.
    """

    def __init__(self, transaction: WriteTransaction, workspace: Workspace) -> None:
        self._transaction = transaction
        self.workspace = workspace
        self.rows = Rows()
        self.verdicts: dict[str, Verdict] = {}
        self.changes: list[tuple[str, Change]] = []

    @property
    def ask(self) -> WriteTransaction:
        """The transaction, for a question that sees all that was decided so far."""
        self.flush()
        return self._transaction

    def flush(self) -> None:
        """Write what is pending."""
        if self._is_pending:
            self._transaction.apply(self.workspace, self.rows)
            self.changes += self.rows.changes
            self.rows = Rows()

    @property
    def _is_pending(self) -> bool:
        """Whether there is any row to write; the parts that most groups have come first."""
        rows = self.rows
        return bool(
            rows.messages
            or rows.devices
            or rows.users
            or rows.spans
            or rows.profiles
            or rows.changes
            or rows.links
            or rows.unlinks
            or rows.persons
            or rows.struck_links
        )

    def keep(
        self,
        verdict: Verdict,
        device: int | None = None,
        user: int | None = None,
        source: int | None = None,
        struck: int | None = None,
    ) -> None:
        """Add a message to the ledger, with the surrogates of what it names."""
        message = verdict.message
        row = MessageRow(message, verdict.outcome, device, user, source, struck)
        self.rows.messages.append(row)
        self.verdicts[message.position.message_id] = verdict

    def keep_unlink(self, verdict: Verdict) -> None:
        """Add an unlink to the ledger; it is among the messages of no device and no user."""
        stored = verdict.message._replace(payload=payload_of(verdict.message))
        self.rows.messages.append(MessageRow(stored, verdict.outcome, None, None, None, None))
        self.verdicts[stored.position.message_id] = verdict
