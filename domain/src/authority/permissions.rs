//! A member's permissions: billing to the organization, and what they get from grants to it.

use diesel::prelude::*;
use serde_json::{Value, json};

use crate::authority::rights::AccessLevel;
use crate::database::schema::members;

/// What a member may bill to the organization, and what they get from grants to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Queryable, QueryableByName, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = members)]
pub struct Permissions {
    /// Whether they may bill to the organization (R55).
    pub billable_activities: bool,
    /// Whether they may use apps that are shared with the organization (R58).
    pub shared_apps: bool,
    /// The highest level that they get from projects shared with the organization (R58).
    pub shared_projects: AccessLevel,
}

impl Permissions {
    /// All permissions, which owners have.
    pub(crate) fn all() -> Self {
        Self { billable_activities: true, shared_apps: true, shared_projects: AccessLevel::Administer }
    }

    /// The permissions as the audit log records them.
    pub(crate) fn to_json(self) -> Value {
        json!({
            "billableActivities": self.billable_activities,
            "sharedApps": self.shared_apps,
            "sharedProjects": self.shared_projects.as_str(),
        })
    }
}

/// Permissions to set. Omitted ones stay as they are, or are taken from the organization's policy.
#[derive(Debug, Clone, Copy, Default)]
pub struct PermissionsInput {
    /// Whether the member may bill to the organization.
    pub billable_activities: Option<bool>,
    /// Whether they may use apps that are shared with the organization.
    pub shared_apps: Option<bool>,
    /// The highest level that they get from projects shared with the organization.
    pub shared_projects: Option<AccessLevel>,
}

impl PermissionsInput {
    /// Returns these permissions, completed by `others` where they are omitted.
    pub(crate) fn or(self, others: Permissions) -> Permissions {
        Permissions {
            billable_activities: self.billable_activities.unwrap_or(others.billable_activities),
            shared_apps: self.shared_apps.unwrap_or(others.shared_apps),
            shared_projects: self.shared_projects.unwrap_or(others.shared_projects),
        }
    }
}
