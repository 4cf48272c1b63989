from datetime import datetime
from typing import Optional

from .base_model import BaseModel
from .enums import InvitationStatus
from .fragments import UserErrorFields


class InviteMembers(BaseModel):
    invite_members: "InviteMembersInviteMembers"


class InviteMembersInviteMembers(BaseModel):
    invitations: Optional[list["InviteMembersInviteMembersInvitations"]]
    accept_urls: Optional[list[str]]
    user_errors: list["InviteMembersInviteMembersUserErrors"]


class InviteMembersInviteMembersInvitations(BaseModel):
    id: str
    status: InvitationStatus
    expires_at: datetime


InviteMembersInviteMembersUserErrors = UserErrorFields
InviteMembers.model_rebuild()
InviteMembersInviteMembers.model_rebuild()
