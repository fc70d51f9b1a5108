"""What is done to the images on a schedule, or once."""

from typing import Annotated

from pydantic import AfterValidator, Field

from settings import rules
from settings.section import Section
from settings.storage import StorageSettings

# Pulumi.yaml has to give the default, too.
_Tool = Annotated[str, AfterValidator(lambda value: value and rules.image(value))]


class ScheduleSettings(Section):
    """When something is done again and again."""

    schedule: Annotated[str, AfterValidator(rules.schedule)]
    """When, in the syntax of cron: minute, hour, day of the month, month, day of the week."""
    time_zone: str | None = None
    """Time zone of the schedule, such as `Europe/Paris`; the cluster's unless set."""


class GarbageCollectionSettings(ScheduleSettings):
    """When and how blobs are deleted that no image refers to."""

    dry_run: bool = False
    """Whether to report what would be deleted, and delete nothing."""
    delete_untagged: bool = False
    """Whether to delete manifests, too, that no tag and no other manifest refers to."""


class ToolSettings(Section):
    """Images of the tools that Jobs run; each has a shell and the core utilities, too."""

    kubectl: _Tool = ""
    """Image with awk and kubectl, with a tag or a digest."""
    rclone: _Tool = ""
    """Image with rclone, with a tag or a digest."""


class MoveSettings(Section):
    """A move of the images to `storage`."""

    source: StorageSettings = Field(alias="from")
    """Storage that the registry leaves, as it stood in `storage`."""


class BackupSettings(ScheduleSettings):
    """When and where images are backed up."""

    storage: StorageSettings
    """Where the backup is kept."""
