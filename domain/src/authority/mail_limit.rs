//! Limits on the emails that people cause. Whoever causes too many, or too many to one person, is refused before
//! anything changes.
//!
//! The command's own transaction counts the emails for the recipient and the account. Exactly what is sent is therefore
//! counted, and a refused command uses up nothing. The limits of the client and the deployment are counted before that,
//! since many share their rows, and are taken back if nothing is sent. A command reports an exceeded limit only after
//! all its other checks have passed, so that the answer reveals nothing that the caller may not know.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::authority::actor::Actor;
use crate::authority::attempt::{self, Count, FullWindow, RefundableCounts};
use crate::base::client::ClientNetwork;
use crate::base::error::{Code, Error, Refusal, Result};
use crate::base::id::UserId;
use crate::base::limits::{self, TryLimit};
use crate::base::text::{EmailAddress, in_words};
use crate::database::deployment::Deployment;
use crate::database::schema::users;
use crate::database::{Database, Transaction, rollcall_now};

/// An email that a command is about to cause.
#[derive(Debug, Clone)]
pub(crate) struct CausedMail {
    /// The recipient.
    pub(crate) to: EmailAddress,
    /// Path to the input field that names the recipient, without the leading `input`.
    pub(crate) field: Vec<String>,
}

impl CausedMail {
    /// An email whose recipient is in the input field at this path.
    pub(crate) fn new<const N: usize>(to: EmailAddress, field: [&str; N]) -> Self {
        Self { to, field: field.map(str::to_owned).to_vec() }
    }
}

/// The emails that a command is about to cause.
#[must_use]
pub(crate) struct CausedMails {
    mails: Vec<CausedMail>,
    /// The field to report if there are too many emails.
    field: String,
    /// The counts for the account and the recipients.
    own: Vec<Count>,
    /// The counts for the client and the deployment, or the windows that were full.
    shared: std::result::Result<RefundableCounts, Vec<FullWindow>>,
    database: Database,
}

/// Counts the emails that an actor is about to cause, for the client and the deployment. [`CausedMails::require`]
/// counts them for the account and each recipient. `field` is reported if there are too many emails.
pub(crate) async fn count(
    database: &Database,
    actor: &Actor,
    client: ClientNetwork,
    mails: &[CausedMail],
    field: &str,
) -> Result<CausedMails> {
    let mut caused = CausedMails {
        mails: mails.to_vec(),
        field: field.to_owned(),
        own: Vec::new(),
        shared: Ok(RefundableCounts::default()),
        database: database.clone(),
    };
    if mails.is_empty() {
        return Ok(caused);
    }
    let number = i32::try_from(mails.len()).map_err(|_| Error::Bug("a request causes few mails"))?;
    let deployment = database.deployment();
    let limits::TryLimits { account, client: of_client, deployment: of_all } = limits::CAUSED_MAILS;
    // Actors without an account aren't limited here: staff are accountable for what they do.
    if let Some(user_id) = actor.account() {
        let tries = per_day(database, deployment, user_id).await?;
        caused.own.push(Count { limit: TryLimit { tries, ..account }, subject: user_id.to_string(), number });
    }
    let mut recipients: BTreeMap<&EmailAddress, i32> = BTreeMap::new();
    for mail in mails {
        *recipients.entry(&mail.to).or_default() += 1;
    }
    for (recipient, number) in recipients {
        let to = |limit| Count { limit, subject: recipient.to_string(), number };
        caused.own.extend(limits::RECIPIENT_MAILS.map(to));
    }
    let most = |limit: TryLimit| TryLimit { tries: limit.tries.max(deployment.invitations_per_day), ..limit };
    let shared = [
        Count { limit: most(of_client), subject: client.to_string(), number },
        Count { limit: most(of_all), subject: String::new(), number },
    ];
    attempt::run_to_completion(async move {
        caused.shared = attempt::count_all_or_none(&caused.database, &shared).await?;
        Ok(caused)
    })
    .await?
}

/// Counts an email to the deployment's support that an actor is about to cause, like [`count`]. It has limits of its
/// own, and none for its recipient.
pub(crate) async fn count_to_support(
    database: &Database,
    actor: &Actor,
    client: ClientNetwork,
    field: &str,
) -> Result<CausedMails> {
    let limits::TryLimits { account, client: of_client, deployment: of_all } = limits::SUPPORT_MAILS;
    let count = |limit, subject| Count { limit, subject, number: 1 };
    let mut caused = CausedMails {
        mails: Vec::new(),
        field: field.to_owned(),
        own: actor.account().map(|user_id| count(account, user_id.to_string())).into_iter().collect(),
        shared: Ok(RefundableCounts::default()),
        database: database.clone(),
    };
    let shared = [count(of_client, client.to_string()), count(of_all, String::new())];
    attempt::run_to_completion(async move {
        caused.shared = attempt::count_all_or_none(&caused.database, &shared).await?;
        Ok(caused)
    })
    .await?
}

/// Returns how many emails the account may cause a day.
async fn per_day(database: &Database, deployment: &Deployment, user_id: UserId) -> Result<i32> {
    let mut connection = database.connection().await?;
    let (created_at, at): (DateTime<Utc>, DateTime<Utc>) =
        users::table.find(user_id).select((users::created_at, rollcall_now())).first(&mut *connection).await?;
    let is_new = created_at + limits::NEW_ACCOUNT > at;
    Ok(if is_new { deployment.new_account_invitations_per_day } else { deployment.invitations_per_day })
}

fn refuse(mails: &[CausedMail], over: &[FullWindow], field: &str) -> Vec<Refusal> {
    let refusal = |field: Vec<String>, message| Refusal { code: Code::RateLimited, field, message };
    let is_of_recipient = |over: &&FullWindow| limits::RECIPIENT_MAILS.iter().any(|limit| limit.bucket == over.bucket);
    let of_all = over.iter().filter(|over| !is_of_recipient(over)).max_by_key(|over| over.wait);
    let of_all = of_all.map(|over| {
        let (limit, left, wait) = (over.limit, over.left, in_words(over.wait));
        let allowed = match over.bucket {
            bucket if bucket == limits::CAUSED_MAILS.account.bucket => {
                format!("your account may have {limit} mails sent to others a day")
            }
            bucket if bucket == limits::CAUSED_MAILS.client.bucket => {
                format!("{limit} mails to others may be sent an hour from where you are")
            }
            bucket if bucket == limits::SUPPORT_MAILS.account.bucket => {
                format!("your account may ask for more {limit} times a day")
            }
            bucket if bucket == limits::SUPPORT_MAILS.client.bucket => {
                format!("organizations may ask for more {limit} times an hour from where you are")
            }
            bucket if bucket == limits::SUPPORT_MAILS.deployment.bucket => {
                format!("organizations may ask for more {limit} times an hour here")
            }
            _ => format!("{limit} mails to others may be sent here an hour"),
        };
        let are = if left == 1 { "is" } else { "are" };
        let fewer = if left > 0 { "name no more people than that, or " } else { "" };
        refusal(vec![field.to_owned()], format!("{allowed}, of which {left} {are} left; {fewer}try again in {wait}"))
    });
    // A caller who may send no more isn't told which recipients have had many emails. Otherwise they could ask that
    // about every address without sending anything.
    if let Some(of_all) = of_all {
        return vec![of_all];
    }
    let of_recipients = mails.iter().filter_map(|mail| {
        let over = over.iter().filter(is_of_recipient).filter(|over| over.subject == mail.to.as_str());
        let wait = over.map(|over| over.wait).max()?;
        let message = format!("was sent as many mails as one person may be sent; try again in {}", in_words(wait));
        Some(refusal(mail.field.clone(), message))
    });
    of_recipients.collect()
}

impl CausedMails {
    /// Counts the emails for the account and the recipients, and fails with RATE_LIMITED if some are too many. This is
    /// the last check before a command changes anything.
    pub(crate) async fn require(&self, transaction: &Transaction) -> Result<()> {
        let refused = |over: &[FullWindow]| Error::Refused(refuse(&self.mails, over, &self.field));
        if let Err(over) = &self.shared {
            return Err(refused(over));
        }
        match attempt::count_in_transaction(transaction, &self.own).await? {
            Ok(_) => Ok(()),
            Err(over) => Err(refused(&over)),
        }
    }

    /// Returns the command's outcome, and takes the counts back if it caused no emails.
    pub(crate) async fn settle<T>(self, outcome: Result<T>) -> Result<T> {
        let is_sent = outcome.is_ok();
        self.settle_if(is_sent, outcome).await
    }

    /// Like [`Self::settle`], for a command that may succeed without causing emails.
    pub(crate) async fn settle_if<T>(mut self, is_sent: bool, outcome: Result<T>) -> Result<T> {
        let shared = std::mem::replace(&mut self.shared, Err(Vec::new()));
        if let (Ok(counted), false) = (shared, is_sent) {
            counted.refund(&self.database).await;
        }
        outcome
    }
}

/// An abandoned request sends nothing, so its counts are taken back.
impl Drop for CausedMails {
    fn drop(&mut self) {
        if let Ok(counted) = &mut self.shared {
            std::mem::take(counted).refund_later(self.database.clone());
        }
    }
}

/// Counts an email that nobody requests at this moment, such as a reminder. Returns `false` if the recipient has had
/// enough emails.
pub async fn count_reminder(database: &Database, recipient: &EmailAddress) -> Result<bool> {
    let counts = limits::RECIPIENT_MAILS.map(|limit| Count { limit, subject: recipient.to_string(), number: 1 });
    Ok(attempt::count_all_or_none(database, &counts).await?.is_ok())
}
