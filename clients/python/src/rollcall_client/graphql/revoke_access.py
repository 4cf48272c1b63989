from typing import Optional

from .base_model import BaseModel
from .fragments import UserErrorFields


class RevokeAccess(BaseModel):
    revoke_access: "RevokeAccessRevokeAccess"


class RevokeAccessRevokeAccess(BaseModel):
    revoked_grant_id: Optional[str]
    user_errors: list["RevokeAccessRevokeAccessUserErrors"]


RevokeAccessRevokeAccessUserErrors = UserErrorFields
RevokeAccess.model_rebuild()
RevokeAccessRevokeAccess.model_rebuild()
