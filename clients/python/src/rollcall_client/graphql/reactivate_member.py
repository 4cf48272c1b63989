from typing import Optional

from .base_model import BaseModel
from .fragments import MemberFields, UserErrorFields


class ReactivateMember(BaseModel):
    reactivate_member: "ReactivateMemberReactivateMember"


class ReactivateMemberReactivateMember(BaseModel):
    member: Optional["ReactivateMemberReactivateMemberMember"]
    user_errors: list["ReactivateMemberReactivateMemberUserErrors"]


ReactivateMemberReactivateMemberMember = MemberFields
ReactivateMemberReactivateMemberUserErrors = UserErrorFields
ReactivateMember.model_rebuild()
ReactivateMemberReactivateMember.model_rebuild()
