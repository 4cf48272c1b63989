from typing import Optional

from .base_model import BaseModel
from .fragments import MemberFields, UserErrorFields


class ChangeMemberRole(BaseModel):
    change_member_role: "ChangeMemberRoleChangeMemberRole"


class ChangeMemberRoleChangeMemberRole(BaseModel):
    member: Optional["ChangeMemberRoleChangeMemberRoleMember"]
    user_errors: list["ChangeMemberRoleChangeMemberRoleUserErrors"]


ChangeMemberRoleChangeMemberRoleMember = MemberFields
ChangeMemberRoleChangeMemberRoleUserErrors = UserErrorFields
ChangeMemberRole.model_rebuild()
ChangeMemberRoleChangeMemberRole.model_rebuild()
