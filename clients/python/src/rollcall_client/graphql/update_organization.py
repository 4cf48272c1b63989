from typing import Optional

from .base_model import BaseModel
from .fragments import UserErrorFields


class UpdateOrganization(BaseModel):
    update_organization: "UpdateOrganizationUpdateOrganization"


class UpdateOrganizationUpdateOrganization(BaseModel):
    organization: Optional["UpdateOrganizationUpdateOrganizationOrganization"]
    user_errors: list["UpdateOrganizationUpdateOrganizationUserErrors"]


class UpdateOrganizationUpdateOrganizationOrganization(BaseModel):
    id: str
    slug: Optional[str]
    name: str


UpdateOrganizationUpdateOrganizationUserErrors = UserErrorFields
UpdateOrganization.model_rebuild()
UpdateOrganizationUpdateOrganization.model_rebuild()
