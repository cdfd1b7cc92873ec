"""Hold the data of the keys floor: tables, constraints and queries, no behaviour."""

from keys.models.catalogue import Environment, KeyTemplate, Scope, Service
from keys.models.channels import CalendarFeed, QuietChoice
from keys.models.devices import DeviceCodeTries, DeviceSignIn
from keys.models.factors import FactorReset, FactorTries, Passkey, RecoveryCode, TotpDevice
from keys.models.invitations import Invitation, PasswordReset
from keys.models.jobs import JobLease, JobRun, JobSchedule
from keys.models.keys import KeyTransfer, KeyVersion, ManagedKey
from keys.models.nonces import NonceStore, SpentNonce
from keys.models.notices import DispatchCursor, FailedReaction, Notice, Reminder
from keys.models.people import Delegation, Membership, Person, Team
from keys.models.policies import Policy, PolicyProposal
from keys.models.requests import Approval, ApprovalStatement, KeyRequest
from keys.models.rotations import Rotation
from keys.models.searches import SavedSearch
from keys.models.sessions import Session
from keys.models.usage import Sighting, UsageCount
from keys.models.verifying import RevocationReceipt, UsageBatch, VerificationChange, Verifier
from keys.models.webhooks import WebhookDelivery, WebhookEndpoint

__all__ = [
    "Approval",
    "ApprovalStatement",
    "CalendarFeed",
    "Delegation",
    "DeviceCodeTries",
    "DeviceSignIn",
    "DispatchCursor",
    "Environment",
    "FactorReset",
    "FactorTries",
    "FailedReaction",
    "Invitation",
    "JobLease",
    "JobRun",
    "JobSchedule",
    "KeyRequest",
    "KeyTemplate",
    "KeyTransfer",
    "KeyVersion",
    "ManagedKey",
    "Membership",
    "NonceStore",
    "Notice",
    "Passkey",
    "PasswordReset",
    "Person",
    "Policy",
    "PolicyProposal",
    "QuietChoice",
    "RecoveryCode",
    "Reminder",
    "RevocationReceipt",
    "Rotation",
    "SavedSearch",
    "Scope",
    "Service",
    "Session",
    "Sighting",
    "SpentNonce",
    "Team",
    "TotpDevice",
    "UsageBatch",
    "UsageCount",
    "VerificationChange",
    "Verifier",
    "WebhookDelivery",
    "WebhookEndpoint",
]
