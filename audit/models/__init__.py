"""Store the log. Nothing here has a foreign key to what it tells about."""

from audit.models.events import MAX_PAYLOAD, AuditEvent, AuditPending, AuditPrivate
from audit.models.jobs import (
    OPEN_EXPORTS,
    OPEN_INSPECTIONS,
    AuditExport,
    AuditForward,
    AuditInspection,
    ExportState,
    InspectionState,
)
from audit.models.keeping import WITHOUT_END, AuditArchive, AuditHold, AuditRetention, LeafRange
from audit.models.seals import AuditCheckpoint, AuditCosignature, AuditInterruption, AuditLeaf, AuditNode, AuditWitness

__all__ = [
    "MAX_PAYLOAD",
    "OPEN_EXPORTS",
    "OPEN_INSPECTIONS",
    "WITHOUT_END",
    "AuditArchive",
    "AuditCheckpoint",
    "AuditCosignature",
    "AuditEvent",
    "AuditExport",
    "AuditForward",
    "AuditHold",
    "AuditInspection",
    "AuditInterruption",
    "AuditLeaf",
    "AuditNode",
    "AuditPending",
    "AuditPrivate",
    "AuditRetention",
    "AuditWitness",
    "ExportState",
    "InspectionState",
    "LeafRange",
]
