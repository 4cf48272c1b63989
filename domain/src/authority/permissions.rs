//! What a member may do with what is shared with, or billed to, an organization.

use diesel::prelude::*;
use serde_json::{Value, json};

use crate::authority::rights::AccessLevel;
use crate::database::schema::members;

/// What a member may do with what is shared with, or billed to, the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable, QueryableByName, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = members)]
pub struct Permissions {
    /// Bill to the organization (R55).
    pub billable_activities: bool,
    /// Use apps that are shared with it (R58).
    pub shared_apps: bool,
    /// What they get at most from projects that are shared with it (R58).
    pub shared_projects: AccessLevel,
}

impl Permissions {
    /// Everything: for owners.
    pub(crate) fn all() -> Self {
        Self { billable_activities: true, shared_apps: true, shared_projects: AccessLevel::Administer }
    }

    /// For the audit log.
    pub(crate) fn to_json(self) -> Value {
        json!({
            "billable_activities": self.billable_activities,
            "shared_apps": self.shared_apps,
            "shared_projects": self.shared_projects.as_str(),
        })
    }
}

/// Permissions to be given; what is left out stays, or comes from the organization's policy.
#[derive(Debug, Clone, Copy, Default)]
pub struct PermissionsInput {
    /// Bill to the organization.
    pub billable_activities: Option<bool>,
    /// Use apps shared with it.
    pub shared_apps: Option<bool>,
    /// What one gets at most from projects shared with it.
    pub shared_projects: Option<AccessLevel>,
}

impl PermissionsInput {
    /// These, and for what is left out the others.
    pub(crate) fn or(self, others: Permissions) -> Permissions {
        Permissions {
            billable_activities: self.billable_activities.unwrap_or(others.billable_activities),
            shared_apps: self.shared_apps.unwrap_or(others.shared_apps),
            shared_projects: self.shared_projects.unwrap_or(others.shared_projects),
        }
    }
}
