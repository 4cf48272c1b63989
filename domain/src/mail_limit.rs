//! How many mails people may cause: who sends many, or many to the same person, is refused before anything is changed.
//!
//! They are counted, and the counts committed, before the command runs; where it is refused for another reason they are taken back.
//! What is over is said only once the command has found nothing else against it, so that the answer tells nobody of what they may not
//! know of.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use crate::actor::Actor;
use crate::attempt::{self, CountedTogether, Counting, Over};
use crate::client::ClientNetwork;
use crate::database::schema::users;
use crate::database::{Database, Deployment, rollcall_now};
use crate::error::{Code, Error, Refusal, Result};
use crate::id::UserId;
use crate::limits::{self, TryLimit};
use crate::text::{EmailAddress, in_words};

/// A mail that a command is about to cause.
#[derive(Debug, Clone)]
pub(crate) struct CausedMail {
    /// To whom.
    pub(crate) to: EmailAddress,
    /// Path to the input field that names the recipient, without the leading `input`.
    pub(crate) field: Vec<String>,
}

impl CausedMail {
    /// A mail whose recipient is named by the fields along a path.
    pub(crate) fn new<const N: usize>(to: EmailAddress, field: [&str; N]) -> Self {
        Self { to, field: field.map(str::to_owned).to_vec() }
    }
}

/// The mails of a command: counted, or refused.
#[must_use]
pub(crate) struct CausedMails {
    counted: Option<CountedTogether>,
    refusals: Vec<Refusal>,
}

/// Counts the mails that an actor is about to cause: for each recipient, for the actor's account, the client and the deployment.
/// `field` is at fault where it is the number of them that is too large.
pub(crate) async fn count(
    database: &Database,
    actor: &Actor,
    client: ClientNetwork,
    mails: &[CausedMail],
    field: &str,
) -> Result<CausedMails> {
    if mails.is_empty() {
        return Ok(CausedMails { counted: None, refusals: Vec::new() });
    }
    let number = i32::try_from(mails.len()).map_err(|_| Error::Bug("a request causes few mails"))?;
    let deployment = database.deployment();
    let most = |limit: TryLimit| TryLimit { tries: limit.tries.max(deployment.invitations_per_day), ..limit };
    let limits::TryLimits { account, client: of_client, deployment: of_all } = limits::CAUSED_MAILS;
    let mut countings = vec![
        Counting { limit: most(of_client), subject: client.to_string(), number },
        Counting { limit: most(of_all), subject: String::new(), number },
    ];
    // Whoever has none isn't limited by it: staff answer for what they do.
    if let Some(user_id) = actor.account() {
        let tries = per_day(database, &deployment, user_id).await?;
        countings.push(Counting { limit: TryLimit { tries, ..account }, subject: user_id.to_string(), number });
    }
    let mut recipients: BTreeMap<&EmailAddress, i32> = BTreeMap::new();
    for mail in mails {
        *recipients.entry(&mail.to).or_default() += 1;
    }
    for (recipient, number) in recipients {
        let to = |limit| Counting { limit, subject: recipient.to_string(), number };
        countings.extend(limits::RECIPIENT_MAILS.map(to));
    }
    Ok(match attempt::count_together(database, &countings).await? {
        Ok(counted) => CausedMails { counted: Some(counted), refusals: Vec::new() },
        Err(over) => CausedMails { counted: None, refusals: refuse(mails, &over, field) },
    })
}

/// How many mails the account may cause a day.
async fn per_day(database: &Database, deployment: &Deployment, user_id: UserId) -> Result<i32> {
    let mut connection = database.connection().await?;
    let (created_at, at): (DateTime<Utc>, DateTime<Utc>) =
        users::table.find(user_id).select((users::created_at, rollcall_now())).first(&mut *connection).await?;
    let is_new = created_at + limits::NEW_ACCOUNT > at;
    Ok(if is_new { deployment.new_account_invitations_per_day } else { deployment.invitations_per_day })
}

fn refuse(mails: &[CausedMail], over: &[Over], field: &str) -> Vec<Refusal> {
    let refusal = |field: Vec<String>, message| Refusal { code: Code::RateLimited, field, message };
    let is_of_recipient = |over: &&Over| limits::RECIPIENT_MAILS.iter().any(|limit| limit.bucket == over.bucket);
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
            _ => format!("{limit} mails to others may be sent here an hour"),
        };
        let are = if left == 1 { "is" } else { "are" };
        let fewer = if left > 0 { "name no more people than that, or " } else { "" };
        refusal(vec![field.to_owned()], format!("{allowed}, of which {left} {are} left; {fewer}try again in {wait}"))
    });
    // Whoever may send no more isn't told besides who is sent much: they could ask that of every address, and send nothing.
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
    /// Fails with RATE_LIMITED where some of the mails are too many: the last check before a command changes anything.
    pub(crate) fn require(&self) -> Result<()> {
        if self.refusals.is_empty() { Ok(()) } else { Err(Error::Refused(self.refusals.clone())) }
    }

    /// Hands on what came of the command, and takes the counts back where no mails did.
    pub(crate) async fn settle<T>(self, database: &Database, outcome: Result<T>) -> Result<T> {
        let is_sent = outcome.is_ok();
        self.settle_if(database, is_sent, outcome).await
    }

    /// Like [`Self::settle`], for a command that may end well without mails.
    pub(crate) async fn settle_if<T>(self, database: &Database, is_sent: bool, outcome: Result<T>) -> Result<T> {
        if let (Some(counted), false) = (&self.counted, is_sent) {
            counted.take_back(database).await;
        }
        outcome
    }
}

/// Counts a mail that nobody asks for at this moment, such as a reminder; `false` where its recipient has had enough.
pub async fn count_reminder(database: &Database, recipient: &EmailAddress) -> Result<bool> {
    let countings = limits::RECIPIENT_MAILS.map(|limit| Counting { limit, subject: recipient.to_string(), number: 1 });
    Ok(attempt::count_together(database, &countings).await?.is_ok())
}
