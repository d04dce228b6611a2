"""One error tree. The branch says what the caller does.

EngineError
 ├ ConfigError              a setting is wrong         -> name it, exit 2
 ├ LocalStackError          a child server is missing  -> say what to install, exit 1
 ├ BuildRefused             a build is not its source  -> nothing is kept, exit 1
 ├ RejectedInstance         bad DICOM object           -> answer the sender, never retry
 ├ AssociationFault         a DICOM peer errs or left  -> end its association, serve the others
 ├ FrameError               this frame cannot be done  -> three tries, then a dead letter
 │  ├ BadMessage            not a frame message        -> dead letter at once
 │  ├ ClaimUnreadable       its stored value is gone     -> three tries, then a dead letter
 │  ├ DecodeFailed          pixels do not decode       -> three tries, then a dead letter
 │  └ EnhanceFailed         a kernel refused the frame -> three tries, then a dead letter
 └ DependencyAway           a server does not answer   -> hold, back off, commit nothing
    ├ ModelUnavailable      Triton
    ├ StoreUnavailable      the object store
    └ BrokerUnavailable     Kafka

No message holds patient data: no names, no PatientID, no UIDs of patients' objects, no values of
attributes outside the pixel module.
"""


class EngineError(Exception):
    """Base of every error that this project raises on purpose."""


class ConfigError(EngineError):
    """A setting cannot be used; the message names the setting and what it takes."""


class LocalStackError(EngineError):
    """The embedded broker or Triton cannot start; the message says what to do about it."""


class BuildRefused(EngineError):
    """A build's masks drift from its source's; the message says by how much, and the limit."""


class RejectedInstance(EngineError):
    """A DICOM object is refused before it is acknowledged.

    `status` is the DIMSE status to answer with (PS3.4 table B.2-1), such as 0xA900 or 0xC000.
    """

    def __init__(self, message: str, *, status: int = 0xC000) -> None:
        super().__init__(message)
        self.status = status


class AssociationFault(EngineError):
    """A DICOM peer breaks the protocol or is gone; nobody else is concerned.

    `source` and `reason` are those of the A-ABORT that it gets (PS3.8 9.3.8); `source` is None
    where nobody is left to be told.
    """

    def __init__(self, message: str, *, source: int | None, reason: int) -> None:
        super().__init__(message)
        self.source, self.reason = source, reason


class FrameError(EngineError):
    """One frame cannot be done. `reason` is a short constant for the dead letter."""

    reason = "frame-error"
    retryable = True


class BadMessage(FrameError):
    """A record on the frames topic is not a frame message."""

    reason = "bad-message"
    retryable = False


class ClaimUnreadable(FrameError):
    """The store answers, but what the claim check names is missing or damaged."""

    reason = "claim-unreadable"


class DecodeFailed(FrameError):
    """The pixel bytes do not decode to what the header promises."""

    reason = "decode-failed"


class EnhanceFailed(FrameError):
    """A kernel refused the frame."""

    reason = "enhance-failed"


class DependencyAway(EngineError):
    """A server that this process needs does not answer; not the frame's fault, never a try."""


class ModelUnavailable(DependencyAway):
    """Triton is away, or does not serve the model."""


class StoreUnavailable(DependencyAway):
    """The object store cannot be read or written."""


class BrokerUnavailable(DependencyAway):
    """Kafka does not confirm."""
