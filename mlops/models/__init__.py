"""This room's tables."""

from mlops.models.datasets import Dataset, DatasetVersion
from mlops.models.devices import Device, DeviceSession, Disposition, Segment, SegmentKind
from mlops.models.jobs import Checkpoint, Job, JobEvent, JobKind, JobState, Quote, TenantShare
from mlops.models.registry import Feedback, Model, ModelVersion, Prediction

__all__ = [
    "Checkpoint",
    "Dataset",
    "DatasetVersion",
    "Device",
    "DeviceSession",
    "Disposition",
    "Feedback",
    "Job",
    "JobEvent",
    "JobKind",
    "JobState",
    "Model",
    "ModelVersion",
    "Prediction",
    "Quote",
    "Segment",
    "SegmentKind",
    "TenantShare",
]
