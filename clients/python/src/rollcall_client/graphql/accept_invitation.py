from typing import Optional

from .base_model import BaseModel
from .fragments import MemberFields, UserErrorFields


class AcceptInvitation(BaseModel):
    accept_invitation: "AcceptInvitationAcceptInvitation"


class AcceptInvitationAcceptInvitation(BaseModel):
    member: Optional["AcceptInvitationAcceptInvitationMember"]
    user_errors: list["AcceptInvitationAcceptInvitationUserErrors"]


AcceptInvitationAcceptInvitationMember = MemberFields
AcceptInvitationAcceptInvitationUserErrors = UserErrorFields
AcceptInvitation.model_rebuild()
AcceptInvitationAcceptInvitation.model_rebuild()
