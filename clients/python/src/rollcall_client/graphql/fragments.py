from datetime import datetime
from typing import Optional

from rollcall_client._json import JsonObject

from .base_model import BaseModel
from .enums import (
    AccessLevel,
    ActorKind,
    MemberStatus,
    ResourceKind,
    Role,
    UpsertOutcome,
    UserErrorCode,
)


class AccessDecisionFields(BaseModel):
    allowed: bool
    level: AccessLevel
    revision: Optional[int]


class EventFields(BaseModel):
    id: str
    sequence: int
    action: str
    actor_kind: ActorKind
    actor: Optional["EventFieldsActor"]
    platform_key: Optional[str]
    organization: Optional["EventFieldsOrganization"]
    subject: Optional["EventFieldsSubject"]
    target_id: Optional[str]
    summary: str
    metadata: JsonObject
    occurred_at: datetime


class EventFieldsActor(BaseModel):
    id: str


class EventFieldsOrganization(BaseModel):
    id: str
    external_id: Optional[str]


class EventFieldsSubject(BaseModel):
    id: str
    external_id: Optional[str]


class MemberFields(BaseModel):
    id: str
    role: Role
    status: MemberStatus
    user: "MemberFieldsUser"
    organization: "MemberFieldsOrganization"


class MemberFieldsUser(BaseModel):
    id: str


class MemberFieldsOrganization(BaseModel):
    id: str


class MemberUpsertFields(BaseModel):
    outcome: UpsertOutcome
    member: "MemberUpsertFieldsMember"


class MemberUpsertFieldsMember(BaseModel):
    id: str
    role: Role
    user: "MemberUpsertFieldsMemberUser"


class MemberUpsertFieldsMemberUser(BaseModel):
    id: str
    external_id: Optional[str]


class OrganizationUpsertFields(BaseModel):
    outcome: UpsertOutcome
    organization: "OrganizationUpsertFieldsOrganization"


class OrganizationUpsertFieldsOrganization(BaseModel):
    id: str
    external_id: Optional[str]
    slug: Optional[str]


class ResourceUpsertFields(BaseModel):
    outcome: UpsertOutcome
    resource: "ResourceUpsertFieldsResource"


class ResourceUpsertFieldsResource(BaseModel):
    id: str
    kind: ResourceKind
    external_id: Optional[str]


class TeamUpsertFields(BaseModel):
    outcome: UpsertOutcome
    team: "TeamUpsertFieldsTeam"


class TeamUpsertFieldsTeam(BaseModel):
    id: str
    external_id: Optional[str]
    name: str


class UserErrorFields(BaseModel):
    code: UserErrorCode
    message: str
    field: list[str]


class UserUpsertFields(BaseModel):
    outcome: UpsertOutcome
    user: "UserUpsertFieldsUser"


class UserUpsertFieldsUser(BaseModel):
    id: str
    external_id: Optional[str]


AccessDecisionFields.model_rebuild()
EventFields.model_rebuild()
MemberFields.model_rebuild()
MemberUpsertFields.model_rebuild()
OrganizationUpsertFields.model_rebuild()
ResourceUpsertFields.model_rebuild()
TeamUpsertFields.model_rebuild()
UserErrorFields.model_rebuild()
UserUpsertFields.model_rebuild()
