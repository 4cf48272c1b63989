//! The limits and lifetimes of the service, in one place; those of a GraphQL document are in `graphql/budget`, and a
//! worker's own where it keeps them.

use std::time::Duration;

use rust_decimal::Decimal;

/// Characters of a person's, organization's or resource's name.
pub const NAME: usize = 100;
/// Characters of one line of a profile.
pub const LINE: usize = 200;
/// Characters of a description or a reason.
pub const DESCRIPTION: usize = 2_000;
/// Characters of a label.
pub const LABEL: usize = 100;
/// Characters of a user agent that are kept.
pub const USER_AGENT: usize = 200;

/// How long a request may take; then it is given up and rolled back.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one statement of a request may take.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a request waits for a connection to the database.
pub const CONNECTION_WAIT: Duration = Duration::from_secs(5);

/// Connections to the database that one request takes at a time.
pub const CONNECTIONS_OF_REQUEST: usize = 4;
/// Connections to the database that the requests of one account take at a time. Fewer than there are: while all of them
/// wait for a lock, others are served.
pub const CONNECTIONS_OF_ACCOUNT: usize = 8;
/// Connections to the database that the requests of one client take at a time: an IPv4 address or an IPv6 /64.
pub const CONNECTIONS_OF_CLIENT: usize = 12;

/// When somebody tries again who was sent away because there was too much to do.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Requests that are answered at the same time.
pub const MAX_REQUESTS: usize = 512;
/// Of these, requests of one client: an IPv4 address or an IPv6 /64.
pub const MAX_REQUESTS_OF_CLIENT: usize = 128;
/// Requests of one client whose bodies are still being sent; beyond that, the one that has taken longest is given up.
pub const MAX_UNREAD_OF_CLIENT: usize = 128;
/// Open connections; more than there are requests, since most are idle.
pub const MAX_CONNECTIONS: usize = 4_096;
/// How long a client may take to send the headers of a request, and how long an idle connection is kept.
pub const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection of a trusted proxy is kept: longer than proxies keep it, so that they don't use one that
/// is just closed.
pub const PROXY_IDLE: Duration = Duration::from_secs(75);
/// How long a client may take to send a request's body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to read an answer.
pub const READING_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request's body.
pub const BODY: usize = 1024 * 1024;
/// Bytes of a request's line and headers.
pub const HEADERS: usize = 64 * 1024;
/// Bytes of an answer.
pub const ANSWER: usize = 10 * 1024 * 1024;
/// Bytes of the documents that a process keeps, so that clients can name them by their hashes.
pub const PERSISTED_DOCUMENTS: u64 = 16 * 1024 * 1024;
/// Top-level errors of an answer.
pub const ANSWER_ERRORS: usize = 50;
/// Characters of an error's message.
pub const ERROR_MESSAGE: usize = 500;

/// Items a page holds where the request names no number.
pub const DEFAULT_PAGE: i64 = 20;
/// Items a page holds at most.
pub const MAX_PAGE: i64 = 100;
/// Ids that `nodes` takes at most.
pub const MAX_NODES: usize = 100;

/// Invitations of one request (1 to 50).
pub const MAX_INVITATIONS: usize = 50;
/// Invitations that are open at the same time, of one organization.
pub const MAX_OPEN_INVITATIONS: i64 = 10_000;
/// Join codes that work at the same time, of one organization.
pub const MAX_ACTIVE_JOIN_CODES: i64 = 5_000;
/// Join codes of one request (1 to 50, R28).
pub const MAX_JOIN_CODES: i32 = 50;
/// How long a join code works (R26).
pub const JOIN_CODE_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The most credits of one purchase; one is one US dollar.
pub const MAX_CREDITS: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);
/// Digits of credits behind the point.
pub const CREDIT_DIGITS: u32 = 4;
/// API keys one person may have in one organization, and service keys of an organization.
pub const MAX_API_KEYS: i64 = 100;
/// Organizations that an account belongs to, its personal one included, and leaves when it is deleted.
pub const MAX_LEFT_WITH_ACCOUNT: usize = 100;
/// Items of a list that has no pages, where there is one with pages that gives all of them.
pub const MAX_UNPAGED: i64 = 100;
/// Organizations one person may own.
pub const MAX_OWNED_ORGANIZATIONS: i64 = 1_000;

/// How long a username or slug that was given up is kept for whoever had it.
pub const NAME_RESERVATION: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Names that are kept so for one account or organization at a time: nobody keeps names from others by changing theirs.
pub const MAX_RESERVED_NAMES: usize = 10;

/// How long a session lasts.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// For how long a form that was sent before leads to what it did then, and a page to the token that it made.
pub const FORM_SENT_AGAIN: Duration = Duration::from_secs(10 * 60);
/// How often the last use of a session or key is written down.
pub const LAST_SEEN_GRAIN: Duration = Duration::from_secs(5 * 60);
/// How long the digits of a sign-in mail work.
pub const SIGN_IN_DIGITS_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Tries on the digits of one mail.
pub const SIGN_IN_DIGIT_TRIES: i32 = 5;
/// How long the link of a sign-in mail works.
pub const SIGN_IN_LINK_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How long the link works that confirms an account's new address.
pub const EMAIL_CHANGE_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How long the mail that tells somebody of the end of their membership waits for the receipt, which then says both.
pub const DEPARTURE_NOTICE: Duration = Duration::from_secs(60);
/// How long after a departure it can be reverted.
pub const REVERTIBLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long an offer to move a project is open.
pub const TRANSFER_OFFER: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How many days an organization's invitations may last (R23).
pub const INVITATION_DAYS: std::ops::RangeInclusive<i32> = 1..=30;
/// How long before an invitation expires its invitee is reminded of it.
pub const INVITATION_REMINDER: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a deleted organization can be restored (R48).
pub const RESTORABLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Teams of one organization.
pub const MAX_TEAMS: i64 = 1_000;
/// People whom one request adds to a team.
pub const MAX_TEAM_ADDITIONS: usize = 100;
/// Teams that one invitation leads into.
pub const MAX_INVITATION_TEAMS: usize = 20;

/// Users, teams and organizations that one resource is shared with.
pub const MAX_GRANTS: i64 = 1_000;
/// Addresses that are invited to one resource.
pub const MAX_GRANT_INVITATIONS: i64 = 100;
/// Things of one organization that are shared with one address until somebody signs in with it.
pub const MAX_GRANT_INVITATIONS_OF_ADDRESS: i64 = 1_000;
/// Links to one collection.
pub const MAX_SHARE_LINKS: i64 = 50;
/// Resources that one request adds to a collection, or takes out of it.
pub const MAX_COLLECTED: usize = 100;
/// Resources that one collection gathers.
pub const MAX_COLLECTION_ITEMS: i64 = 10_000;
/// Names that a search for resources looks at one by one, to see which the viewer reaches; of more it goes along the
/// list.
pub const SEARCH_LOOKED_AT: f64 = 20_000.0;

/// Webhooks of one organization.
pub const MAX_WEBHOOKS: i64 = 20;
/// Characters of a webhook's URL.
pub const WEBHOOK_URL: usize = 2_000;
/// How long a webhook's deliveries are tried before it is disabled (R75).
pub const WEBHOOK_FAILING: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a webhook's receiver may put the next attempt off by `Retry-After`.
pub const LONGEST_WEBHOOK_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
/// For how long after a rotation deliveries are signed with the secret before it too.
pub const WEBHOOK_SECRET_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
/// Earlier secrets of a webhook that sign beside its current one: each is one more signature in every delivery.
pub const MAX_WEBHOOK_PREVIOUS_SECRETS: i64 = 5;
/// Deliveries of one webhook that wait to be made again.
pub const MAX_REDELIVERIES: i64 = 100;
/// Events of an audit log that one statement searches for those that a webhook wants.
pub const WEBHOOK_WINDOW: i64 = 10_000;

/// Resources that one transaction of a cascade moves: short enough that nobody waits for its locks.
pub const CASCADE_CHUNK: i64 = 1_000;
/// Things that a step of a departure's plan names.
pub const PLAN_EXAMPLES: usize = 5;
/// Rows that one transaction of a sweep changes or deletes.
pub const SWEEP_CHUNK: u32 = 500;
/// How long an ended session is kept.
pub const SESSION_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a request to sign in is kept; its link has long expired then.
pub const SIGN_IN_REQUEST_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a change of an account's address is kept; its link has long expired then.
pub const EMAIL_CHANGE_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long the address of a deleted account is kept at most, for the mail that confirms the deletion; longer than that
/// is tried.
pub const ACCOUNT_DELETION_RETENTION: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// How long a webhook's delivery is kept, once it was taken or given up.
pub const WEBHOOK_DELIVERY_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a job that was done is kept, for whoever asks what became of it.
pub const JOB_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Resources that a departure's mail names.
pub const RECEIPT_EXAMPLES: i64 = 20;
/// Audit events that one call of `verifyAuditLog` checks.
pub const VERIFY_CHUNK: i64 = 10_000;
/// Things that break an invariant and are named by `rollcall admin verify`.
pub const VERIFY_EXAMPLES: i64 = 10;

/// For how long a mail is tried after it was called for.
pub const MAIL_TRIED_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest pause between two tries of a mail: a mail server that is back has its mails soon.
pub const LONGEST_MAIL_PAUSE: Duration = Duration::from_secs(30 * 60);

/// So many tries in a window, counted before they are checked.
#[derive(Debug, Clone, Copy)]
pub struct TryLimit {
    /// What is counted.
    pub bucket: &'static str,
    /// How many are let through.
    pub tries: i32,
    /// In which time.
    pub window: Duration,
}

/// The limits that a try counts for (R30). Only wrong tries stay counted: a right one is taken back in its transaction.
#[derive(Debug, Clone, Copy)]
pub struct TryLimits {
    /// Per account, or per address that someone signs in with.
    pub account: TryLimit,
    /// Per client: an IPv4 address or an IPv6 /64.
    pub client: TryLimit,
    /// Of everybody together.
    pub deployment: TryLimit,
}

const fn quarter_of_an_hour(bucket: &'static str, tries: i32) -> TryLimit {
    TryLimit { bucket, tries, window: Duration::from_secs(15 * 60) }
}

/// Wrong join codes.
///
/// A guess hits a given active code with a chance of 1 in 10^8. Within the code's 24 hours an account makes 960 guesses
/// (1 in 100,000), a client with as many accounts as it likes 5,760 (1 in 17,000), and all the world together 96,000 (1
/// in 1,000). Where a thousand codes are active, that last one hits one of them a day, joins as a MEMBER, and the owner
/// hears of it by mail.
///
/// A client has room for a class of 50 that enters its codes at the same moment, since each counts until it is found
/// right. To use up the deployment's tries and so keep others from joining, it takes 100 accounts at 17 addresses,
/// every quarter of an hour; invitations work all the same.
pub const JOIN_CODE_TRIES: TryLimits = TryLimits {
    account: quarter_of_an_hour("join_code", 10),
    client: quarter_of_an_hour("join_code_client", 60),
    deployment: quarter_of_an_hour("join_code_deployment", 1_000),
};
/// Wrong digits of sign-in mails. The link of the same mail needs no digits, so a limit that is reached locks nobody
/// out.
///
/// A guess hits with a chance of 1 in 10^6, and only for the ten minutes of a mail and five times. Somebody who asks
/// for mails to an address again and again makes 240 guesses a day at its digits (1 in 4,000); all the world together
/// makes 28,800, at whichever accounts (1 in 35).
pub const SIGN_IN_DIGITS: TryLimits = TryLimits {
    account: TryLimit { bucket: "sign_in_digits", tries: 10, window: Duration::from_secs(60 * 60) },
    client: quarter_of_an_hour("sign_in_digits_client", 60),
    deployment: quarter_of_an_hour("sign_in_digits_deployment", 300),
};
/// Sign-in mails. Each counts, whether or not it is used: it goes to an address that somebody has typed.
///
/// Anybody can ask for mails to anybody's address. The window is not longer than [`SIGN_IN_LINK_LIFETIME`], so that
/// whoever is refused has mails whose links work: nobody is locked out by others who ask.
///
/// A client has room for all who are behind it, many times over: what somebody sends to strangers from there is held
/// back later, by [`STRANGERS_SIGN_IN_MAILS`], and keeps nobody who has an account from signing in. The deployment has
/// room for 33 mails a second.
pub const SIGN_IN_REQUESTS: TryLimits = TryLimits {
    account: TryLimit { bucket: "sign_in_request", tries: 10, window: SIGN_IN_LINK_LIFETIME },
    client: quarter_of_an_hour("sign_in_request_client", 3_000),
    deployment: quarter_of_an_hour("sign_in_request_deployment", 30_000),
};
/// Sign-in mails that an address is sent a day. The mail's job decides it, and nobody is told: the answer is the same
/// for every address.
pub const SIGN_IN_MAILS: TryLimit = a_day("sign_in_mail", 20);
/// Those beyond it to somebody who has an account: one as often as a link expires, so that there is always one that
/// works. Whoever signs in begins anew with both.
pub const LATER_SIGN_IN_MAILS: TryLimit =
    TryLimit { bucket: "sign_in_mail_later", tries: 1, window: SIGN_IN_LINK_LIFETIME };
/// Sign-in mails to addresses that have no account, by the client that asks: enough for a class that begins together.
pub const STRANGERS_SIGN_IN_MAILS: TryLimit = quarter_of_an_hour("sign_in_mail_stranger", 100);
/// Changes of address that are asked for: each mails an address that somebody has typed. Each counts.
pub const EMAIL_CHANGES: TryLimits = TryLimits {
    account: TryLimit { bucket: "email_change", tries: 10, window: Duration::from_secs(60 * 60) },
    client: quarter_of_an_hour("email_change_client", 30),
    deployment: quarter_of_an_hour("email_change_deployment", 1_000),
};
/// Mails per organization that its members cause: invitations to it and to its resources, reminders, changes of roles,
/// and offers of projects with their answers. What they hold back is sent in the next minutes. Mails that keep an
/// account or an organization safe don't wait for them: those that sign in, those about accounts, and those that tell
/// of who came and went.
pub const ORGANIZATION_MAILS: TryLimit =
    TryLimit { bucket: "organization_mail", tries: 100, window: Duration::from_secs(60) };
/// Names that the answers tell of: usernames and slugs with which something is shared, to whom something is offered or
/// who are invited, and that lead nowhere; and those that somebody would like to have and another has. Nobody learns
/// from the answers who has accounts and which organizations there are (R21). What leads somewhere, or is free, is
/// taken back.
pub const NAME_GUESSES: TryLimits = TryLimits {
    account: quarter_of_an_hour("name_guess", 300),
    client: quarter_of_an_hour("name_guess_client", 600),
    deployment: quarter_of_an_hour("name_guess_deployment", 20_000),
};
/// Mails that one address gets because others want something of it, whoever and wherever they are: invitations, sent
/// again or for the first time, their reminders, what is shared with an address without an account, offers of projects,
/// and links that confirm an address. What is over is refused; a reminder that is over isn't sent.
///
/// Addresses count as they are written, without case: `ada+lab@…` and `a.da@…` are other mailboxes to us, since only
/// their server knows better. Mails that sign in have limits of their own: whoever uses this up for an address keeps
/// nobody from signing in.
pub const RECIPIENT_MAILS: [TryLimit; 2] = [
    TryLimit { bucket: "recipient_mail_hour", tries: 5, window: Duration::from_secs(60 * 60) },
    TryLimit { bucket: "recipient_mail_day", tries: 20, window: Duration::from_secs(24 * 60 * 60) },
];
/// The same mails by who causes them: each address counts, however many a request names.
///
/// The account's number is that of `ROLLCALL_INVITATIONS_PER_DAY`, or of `ROLLCALL_NEW_ACCOUNT_INVITATIONS_PER_DAY`
/// while the account is new; where the operator allows one account more than these allow a client or the deployment,
/// that counts for them too. What is shared by many ends within the hour. To use up the deployment's, it takes 10
/// accounts that are older than a day or 100 new ones.
pub const CAUSED_MAILS: TryLimits = TryLimits {
    account: TryLimit { bucket: "caused_mail", tries: 2_000, window: Duration::from_secs(24 * 60 * 60) },
    client: TryLimit { bucket: "caused_mail_client", tries: 2_500, window: Duration::from_secs(60 * 60) },
    deployment: TryLimit { bucket: "caused_mail_deployment", tries: 20_000, window: Duration::from_secs(60 * 60) },
};
/// How long an account counts as new.
pub const NEW_ACCOUNT: Duration = Duration::from_secs(24 * 60 * 60);
/// Mails that a new account may cause a day.
pub const NEW_ACCOUNT_MAILS: i32 = 200;
/// Mails of each kind about one membership: changes of its role, its end, its receipts, and its return. Nobody's role
/// or membership waits for them: what is over isn't sent. They are so few that no organization uses up what the others
/// may send.
pub const MEMBERSHIP_MAILS: TryLimit = a_day("membership_mail", 5);
/// About the end of memberships, with its receipts, and their return, to the person whose they are, in whichever
/// organizations.
pub const MEMBER_MAILS: TryLimit = a_day("member_mail", 20);
/// About changes of somebody's roles, in whichever organizations: they use up nothing of what tells of an end.
pub const ROLE_MAILS: TryLimit = a_day("role_mail", 20);
/// Receipts to whoever has become the owner of what others left, in whichever organizations; `Organization.departures`
/// has them all.
pub const RECEIPT_MAILS: TryLimit = a_day("receipt_mail", 200);

/// New grants that one account gives to people whom it may not look up, by their ids or usernames: they need no
/// consent, and stand in the others' lists of resources. What is shared with an address, a team or an organization
/// isn't counted.
pub const STRANGERS_GRANTS: TryLimit = a_day("stranger_grant", 50);
/// New grants that one person gets from people who may not look them up.
pub const GRANTS_OF_STRANGERS: TryLimit = a_day("stranger_grant_to", 20);

const fn a_day(bucket: &'static str, tries: i32) -> TryLimit {
    TryLimit { bucket, tries, window: Duration::from_secs(24 * 60 * 60) }
}
