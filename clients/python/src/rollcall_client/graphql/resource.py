from typing import Optional

from rollcall_client._json import JsonObject

from .base_model import BaseModel
from .enums import ResourceKind


class Resource(BaseModel):
    resource: Optional["ResourceResource"]


class ResourceResource(BaseModel):
    id: str
    kind: ResourceKind
    subtype: Optional[str]
    external_id: Optional[str]
    name: str
    metadata: Optional[JsonObject]
    owner: "ResourceResourceOwner"
    organization: "ResourceResourceOrganization"


class ResourceResourceOwner(BaseModel):
    id: str


class ResourceResourceOrganization(BaseModel):
    id: str


Resource.model_rebuild()
ResourceResource.model_rebuild()
