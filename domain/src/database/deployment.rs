//! The settings of a deployment for organizations, accounts, usage and webhooks.

use serde::Deserialize;

use crate::base::credit_rates::CreditRates;
use crate::base::limits;
use crate::base::text::EmailAddress;

/// The settings of a deployment that the domain's rules depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Whether each user may belong to only one organization (D3).
    pub one_organization_per_user: bool,
    /// Who may create organizations (D4).
    pub organization_creation: OrganizationCreation,
    /// The addresses to which webhooks may lead.
    pub webhook_targets: WebhookTargets,
    /// How many emails to other people an account may cause a day.
    pub invitations_per_day: i32,
    /// The same limit for new accounts.
    pub new_account_invitations_per_day: i32,
    /// What usage costs (R70).
    pub credit_rates: CreditRates,
    /// Where organizations can ask for a larger plan (R79).
    pub upgrade_url: Option<String>,
    /// The address that people can write to, and that requests for a larger plan go to.
    pub support_email: Option<EmailAddress>,
}

impl Default for Deployment {
    fn default() -> Self {
        Self {
            one_organization_per_user: false,
            organization_creation: OrganizationCreation::default(),
            webhook_targets: WebhookTargets::default(),
            invitations_per_day: limits::CAUSED_MAILS.account.tries,
            new_account_invitations_per_day: limits::NEW_ACCOUNT_MAILS,
            credit_rates: CreditRates::default(),
            upgrade_url: None,
            support_email: None,
        }
    }
}

/// The addresses to which webhooks may lead, as the deployment's settings allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WebhookTargets {
    /// Whether plain http is allowed.
    pub allow_http: bool,
    /// Whether private, loopback and link-local addresses are allowed.
    pub allow_private: bool,
}

/// Who may create organizations (D4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrganizationCreation {
    /// Everybody who has an account.
    #[default]
    Anyone,
    /// Only the platform's staff.
    Staff,
}
