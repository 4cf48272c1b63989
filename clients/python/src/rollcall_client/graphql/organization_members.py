from typing import Optional

from .base_model import BaseModel
from .fragments import MemberFields


class OrganizationMembers(BaseModel):
    organization: Optional["OrganizationMembersOrganization"]


class OrganizationMembersOrganization(BaseModel):
    id: str
    members: Optional["OrganizationMembersOrganizationMembers"]


class OrganizationMembersOrganizationMembers(BaseModel):
    nodes: list["OrganizationMembersOrganizationMembersNodes"]
    page_info: "OrganizationMembersOrganizationMembersPageInfo"


OrganizationMembersOrganizationMembersNodes = MemberFields


class OrganizationMembersOrganizationMembersPageInfo(BaseModel):
    has_next_page: bool
    end_cursor: Optional[str]


OrganizationMembers.model_rebuild()
OrganizationMembersOrganization.model_rebuild()
OrganizationMembersOrganizationMembers.model_rebuild()
