from typing import Optional

from .base_model import BaseModel
from .fragments import OrganizationUpsertFields, UserErrorFields


class UpsertOrganizations(BaseModel):
    upsert_organizations: "UpsertOrganizationsUpsertOrganizations"


class UpsertOrganizationsUpsertOrganizations(BaseModel):
    results: Optional[list["UpsertOrganizationsUpsertOrganizationsResults"]]
    user_errors: list["UpsertOrganizationsUpsertOrganizationsUserErrors"]


UpsertOrganizationsUpsertOrganizationsResults = OrganizationUpsertFields
UpsertOrganizationsUpsertOrganizationsUserErrors = UserErrorFields
UpsertOrganizations.model_rebuild()
UpsertOrganizationsUpsertOrganizations.model_rebuild()
