from typing import Optional

from .base_model import BaseModel
from .fragments import MemberFields


class Membership(BaseModel):
    membership: Optional["MembershipMembership"]


MembershipMembership = MemberFields
Membership.model_rebuild()
