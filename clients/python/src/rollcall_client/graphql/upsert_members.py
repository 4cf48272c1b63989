from typing import Optional

from .base_model import BaseModel
from .fragments import MemberUpsertFields, UserErrorFields


class UpsertMembers(BaseModel):
    upsert_members: "UpsertMembersUpsertMembers"


class UpsertMembersUpsertMembers(BaseModel):
    results: Optional[list["UpsertMembersUpsertMembersResults"]]
    user_errors: list["UpsertMembersUpsertMembersUserErrors"]


UpsertMembersUpsertMembersResults = MemberUpsertFields
UpsertMembersUpsertMembersUserErrors = UserErrorFields
UpsertMembers.model_rebuild()
UpsertMembersUpsertMembers.model_rebuild()
