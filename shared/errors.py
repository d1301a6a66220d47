"""Errors that carry their policy as data: what the pipeline does about each is a class attribute.

====================  =========  ===========  ==========================================
error                 retriable  dead letter  what happens
====================  =========  ===========  ==========================================
ConfigError           no         no           exit code 2 before anything connects
DecodeError           no         yes          the record is dead-lettered, the batch goes on
ValidationError       no         yes          the record is dead-lettered, the batch goes on
ProcessError          no         yes          the record is dead-lettered, the batch goes on
NotDelivered          no         yes          the notification is dead-lettered, others go on
BundleError           no         no           the bundle is refused, the old model serves on
TransientError        yes        no           bounded backoff, nothing committed
PartitionLost         yes        no           the partition's batch is dropped, the others go on
anything else         no         no           crash uncommitted; the supervisor restarts
====================  =========  ===========  ==========================================
"""

from __future__ import annotations

from typing import ClassVar


class ServiceError(Exception):
    """Base of every error Driftline raises on purpose.

    Parameters
    ----------
    message
        One sentence for a person; it names the field, file or setting at fault.
    topic, partition, offset
        Where the record lies, if a record is at fault.
    field
        Dotted path of the field at fault (``features.hour``), if one field is.
    """

    retriable: ClassVar[bool] = False
    dead_letter: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.field = field

    @property
    def reason(self) -> str:
        """Class of the error as dead letters and reports name it."""
        return type(self).__name__

    def __str__(self) -> str:
        if self.topic is None:
            return self.message
        return f"{self.message} ({self.topic}[{self.partition}] offset {self.offset})"


class ConfigError(ServiceError):
    """A setting is missing or wrong; carries every bad key at once.

    Parameters
    ----------
    problems
        One sentence per bad key, each beginning with the key's name.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("configuration: " + "; ".join(problems))
        self.problems = problems


class DecodeError(ServiceError):
    """The record's bytes are not a message of the expected shape."""

    dead_letter = True


class ValidationError(ServiceError):
    """The message is well formed, but a value breaks the model's contract."""

    dead_letter = True


class ProcessError(ServiceError):
    """The model raised on this record, or answered with a value that is not a score."""

    dead_letter = True


class WrongShape(ProcessError):
    """The model answered with an array of another shape than its contract declares."""

    @property
    def reason(self) -> str:
        """A model's failure like any other, to those who count them."""
        return ProcessError.__name__


class NotDelivered(ServiceError):
    """A receiver has not taken a notification, and no further attempt is made."""

    dead_letter = True


class BundleError(ServiceError):
    """A model bundle is damaged, incomplete or contradicts itself."""


class RegistryError(ServiceError):
    """A registry command cannot be carried out as asked (unknown version, lost race)."""


class TransientError(ServiceError):
    """The broker, Redis or a file store is away; the same call may succeed later."""

    retriable = True


class PartitionLost(ServiceError):
    """Another process owns the partition now; its transaction was fenced or timed out."""

    retriable = True
