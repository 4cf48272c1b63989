//! What whoever runs the service decides about organizations, accounts and webhooks.

use serde::Deserialize;

use crate::base::limits;

/// What the deployment decides about organizations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployment {
    /// A second organization is refused (D3).
    pub one_organization_per_user: bool,
    /// Who creates organizations (D4).
    pub organization_creation: OrganizationCreation,
    /// Where webhooks may lead.
    pub webhook_targets: WebhookTargets,
    /// How many mails to others an account may cause a day.
    pub invitations_per_day: i32,
    /// The same while the account is new.
    pub new_account_invitations_per_day: i32,
}

impl Default for Deployment {
    fn default() -> Self {
        Self {
            one_organization_per_user: false,
            organization_creation: OrganizationCreation::default(),
            webhook_targets: WebhookTargets::default(),
            invitations_per_day: limits::CAUSED_MAILS.account.tries,
            new_account_invitations_per_day: limits::NEW_ACCOUNT_MAILS,
        }
    }
}

/// Where webhooks may lead, as the deployment decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WebhookTargets {
    /// To plain http, too.
    pub allow_http: bool,
    /// To private, loopback and link-local addresses, too.
    pub allow_private: bool,
}

/// Who may create organizations (D4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrganizationCreation {
    /// Whoever has an account.
    #[default]
    Anyone,
    /// The platform's staff only.
    Staff,
}
