from typing import Optional

from .base_model import BaseModel
from .enums import AccessLevel, AccessLimit, AccessReasonKind
from .fragments import AccessDecisionFields


class ExplainAccess(BaseModel):
    check_access: list["ExplainAccessCheckAccess"]


class ExplainAccessCheckAccess(AccessDecisionFields):
    limited_by: list[AccessLimit]
    reasons: list["ExplainAccessCheckAccessReasons"]


class ExplainAccessCheckAccessReasons(BaseModel):
    kind: AccessReasonKind
    level: AccessLevel
    resource: Optional["ExplainAccessCheckAccessReasonsResource"]
    grant: Optional["ExplainAccessCheckAccessReasonsGrant"]
    team: Optional["ExplainAccessCheckAccessReasonsTeam"]
    organization: Optional["ExplainAccessCheckAccessReasonsOrganization"]


class ExplainAccessCheckAccessReasonsResource(BaseModel):
    id: str


class ExplainAccessCheckAccessReasonsGrant(BaseModel):
    id: str


class ExplainAccessCheckAccessReasonsTeam(BaseModel):
    id: str


class ExplainAccessCheckAccessReasonsOrganization(BaseModel):
    id: str


ExplainAccess.model_rebuild()
ExplainAccessCheckAccess.model_rebuild()
ExplainAccessCheckAccessReasons.model_rebuild()
