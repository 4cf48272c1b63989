from typing import Optional

from .base_model import BaseModel
from .enums import AccessLevel
from .fragments import UserErrorFields


class GrantAccess(BaseModel):
    grant_access: "GrantAccessGrantAccess"


class GrantAccessGrantAccess(BaseModel):
    grant: Optional["GrantAccessGrantAccessGrant"]
    invited: Optional[bool]
    user_errors: list["GrantAccessGrantAccessUserErrors"]


class GrantAccessGrantAccessGrant(BaseModel):
    id: str
    level: AccessLevel


GrantAccessGrantAccessUserErrors = UserErrorFields
GrantAccess.model_rebuild()
GrantAccessGrantAccess.model_rebuild()
