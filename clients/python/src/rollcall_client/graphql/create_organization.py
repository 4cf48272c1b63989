from typing import Optional

from .base_model import BaseModel
from .fragments import UserErrorFields


class CreateOrganization(BaseModel):
    create_organization: "CreateOrganizationCreateOrganization"


class CreateOrganizationCreateOrganization(BaseModel):
    organization: Optional["CreateOrganizationCreateOrganizationOrganization"]
    user_errors: list["CreateOrganizationCreateOrganizationUserErrors"]


class CreateOrganizationCreateOrganizationOrganization(BaseModel):
    id: str
    slug: Optional[str]
    name: str


CreateOrganizationCreateOrganizationUserErrors = UserErrorFields
CreateOrganization.model_rebuild()
CreateOrganizationCreateOrganization.model_rebuild()
