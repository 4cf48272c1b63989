from typing import Optional

from rollcall_client._json import JsonObject

from .base_model import BaseModel


class Organization(BaseModel):
    organization: Optional["OrganizationOrganization"]


class OrganizationOrganization(BaseModel):
    id: str
    external_id: Optional[str]
    slug: Optional[str]
    name: str
    personal: bool
    metadata: Optional[JsonObject]


Organization.model_rebuild()
