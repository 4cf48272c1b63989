from typing import Optional

from .base_model import BaseModel
from .enums import DepartureStatus
from .fragments import UserErrorFields


class RemoveMember(BaseModel):
    remove_member: "RemoveMemberRemoveMember"


class RemoveMemberRemoveMember(BaseModel):
    departure: Optional["RemoveMemberRemoveMemberDeparture"]
    user_errors: list["RemoveMemberRemoveMemberUserErrors"]


class RemoveMemberRemoveMemberDeparture(BaseModel):
    id: str
    status: DepartureStatus


RemoveMemberRemoveMemberUserErrors = UserErrorFields
RemoveMember.model_rebuild()
RemoveMemberRemoveMember.model_rebuild()
