//! The limits and lifetimes of the service. Limits on GraphQL documents are in `graphql/budget`, and the worker has
//! some limits of its own.

use std::time::Duration;

use rust_decimal::Decimal;

/// The maximum length in characters of the name of a person, organization or resource.
pub const NAME: usize = 100;
/// The maximum length in characters of one line of a profile.
pub const LINE: usize = 200;
/// The maximum length in characters of a description or a reason.
pub const DESCRIPTION: usize = 2_000;
/// The maximum length in characters of a label.
pub const LABEL: usize = 100;
/// The maximum length in characters to which user agents are cut.
pub const USER_AGENT: usize = 200;

/// How long a request may take. After that, it is aborted and rolled back.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one statement of a request may take.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a request waits for a connection to the database.
pub const CONNECTION_WAIT: Duration = Duration::from_secs(5);

/// The number of database connections that one request may use at the same time.
pub const CONNECTIONS_OF_REQUEST: usize = 4;
/// The number of database connections that the requests of one account may use at the same time. It is lower than the
/// size of the pool, so that others are served while all of these wait for a lock.
pub const CONNECTIONS_OF_ACCOUNT: usize = 8;
/// The number of database connections that the requests of one client (an IPv4 address or an IPv6 /64) may use at the
/// same time.
pub const CONNECTIONS_OF_CLIENT: usize = 12;

/// How long clients should wait before they try again, if they were refused because of overload.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The number of requests that are processed at the same time.
pub const MAX_REQUESTS: usize = 512;
/// How many of these may come from one client (an IPv4 address or an IPv6 /64).
pub const MAX_REQUESTS_OF_CLIENT: usize = 128;
/// The number of requests of one client whose bodies are still being received. If there are more, the one that has
/// taken longest is aborted.
pub const MAX_UNREAD_OF_CLIENT: usize = 128;
/// The number of open connections. It is higher than the number of requests, since most connections are idle.
pub const MAX_CONNECTIONS: usize = 4_096;
/// How long a client may take to send a request's headers, and how long an idle connection is kept.
pub const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection of a trusted proxy is kept. It is longer than proxies keep theirs, so that they never
/// use a connection that is just being closed.
pub const PROXY_IDLE: Duration = Duration::from_secs(75);
/// How long a client may take to send a request's body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to read a response.
pub const READING_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum size in bytes of a request's body.
pub const BODY: usize = 1024 * 1024;
/// The maximum size in bytes of a request's line and headers.
pub const HEADERS: usize = 64 * 1024;
/// The maximum size in bytes of a response.
pub const ANSWER: usize = 10 * 1024 * 1024;
/// The size in bytes of all bodies in memory: those that are being received, and those of requests in progress.
pub const BODIES: usize = 128 * 1024 * 1024;
/// How much of it may belong to one client.
pub const BODIES_OF_CLIENT: usize = 32 * 1024 * 1024;
/// The size in bytes of all responses that haven't been sent yet.
pub const UNSENT: usize = 256 * 1024 * 1024;
/// How much of it may belong to one client.
pub const UNSENT_OF_CLIENT: usize = 32 * 1024 * 1024;
/// The size in bytes up to which a response doesn't count.
pub const SMALL_ANSWER: usize = 64 * 1024;
/// The size in bytes of the documents that a process keeps, so that clients can refer to them by their hashes.
pub const PERSISTED_DOCUMENTS: u64 = 16 * 1024 * 1024;
/// The maximum number of top-level errors in a response.
pub const ANSWER_ERRORS: usize = 50;
/// The maximum length in characters of an error's message.
pub const ERROR_MESSAGE: usize = 500;

/// The number of open subscriptions of one process.
pub const MAX_SUBSCRIPTIONS: usize = 10_000;
/// How many of these one client (an IPv4 address or an IPv6 /64) may have.
pub const MAX_SUBSCRIPTIONS_OF_CLIENT: usize = 100;
/// How many of these one account may have, by its sessions and API keys together.
pub const MAX_SUBSCRIPTIONS_OF_ACCOUNT: usize = 20;
/// The number of connections that one process keeps for subscriptions: WebSockets, and responses that are
/// event streams. It is at most half of the connections that the process can open, so that requests find room.
pub const MAX_SUBSCRIPTION_CONNECTIONS: usize = 2_000;
/// How many of these one client may have.
pub const MAX_SUBSCRIPTION_CONNECTIONS_OF_CLIENT: usize = 100;
/// The maximum size in bytes of a message that a client sends over a WebSocket.
pub const WEBSOCKET_MESSAGE: usize = 64 * 1024;
/// How long a WebSocket's client may take to say who it is.
pub const CONNECTION_INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a WebSocket's client is pinged. A client that says nothing until the next ping counts as gone.
pub const WEBSOCKET_PING: Duration = Duration::from_secs(25);
/// How often a comment is sent in an event stream that has nothing else to say. Proxies close connections that are
/// silent for long, and a client that is gone is noticed when something is sent.
pub const EVENT_STREAM_COMMENT: Duration = Duration::from_secs(15);
/// The maximum number of events that one reader of an organization's log is given at a time.
pub const FEED_PAGE: i64 = 50;
/// The size in bytes of the summaries and metadata on such a page, unless its first event alone is larger.
pub const FEED_PAGE_BYTES: usize = 64 * 1024;
/// The maximum number of events that are read at a time for all readers of a process.
pub const FEED_ROWS: i64 = 1_000;
/// The maximum number of events on a page of the feed over all organizations (R90).
pub const MAX_FEED_PAGE: i64 = 1_000;
/// The number of events of that feed among which a subscription or webhook looks for its next ones at a time.
pub const FEED_WINDOW: i64 = 1_000;
/// The maximum number of places in that feed from which one statement reads, for subscriptions or for webhooks.
pub const FEED_PLACES: usize = 20;

/// The number of items on a page if the request doesn't specify it.
pub const DEFAULT_PAGE: i64 = 20;
/// The maximum number of items on a page.
pub const MAX_PAGE: i64 = 100;
/// The maximum number of ids that `nodes` accepts.
pub const MAX_NODES: usize = 100;
/// The maximum number of checks of access in one request (R89).
pub const MAX_CHECKS: usize = 1_000;
/// How many resources or people are looked at at once after a page turned out to need more than it has items.
pub const LOOKED_AT: i64 = 1_000;

/// The maximum number of invitations in one request.
pub const MAX_INVITATIONS: usize = 50;
/// The maximum number of pending invitations of one organization.
pub const MAX_OPEN_INVITATIONS: i64 = 10_000;
/// The maximum number of active join codes of one organization.
pub const MAX_ACTIVE_JOIN_CODES: i64 = 5_000;
/// The maximum number of join codes in one request (R28).
pub const MAX_JOIN_CODES: i32 = 50;
/// How long a join code can be redeemed (R26).
pub const JOIN_CODE_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The maximum number of credits in one purchase. One credit is one US dollar.
pub const MAX_CREDITS: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);
/// The number of decimal places of credits.
pub const CREDIT_DIGITS: u32 = 4;
/// The maximum number of credits that a unit of usage may cost.
pub const MAX_CREDIT_RATE: Decimal = Decimal::from_parts(1_000, 0, 0, false, 0);
/// The number of decimal places of a rate.
pub const CREDIT_RATE_DIGITS: u32 = 6;
/// The most of any kind that one report of usage may name, and that one run may use.
pub const MAX_USAGE: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);
/// The number of decimal places of usage. Together with those of a rate, and with every amount that occurs, these fit
/// into the digits that a decimal number has.
pub const USAGE_DIGITS: u32 = 9;
/// The maximum number of entries in one report of usage.
pub const MAX_USAGE_ENTRIES: usize = 1_000;
/// How long ago usage may have occurred that is reported now. It is enough for bills of past years.
pub const USAGE_REPORTED_WITHIN: Duration = Duration::from_secs(3 * 366 * 24 * 60 * 60);
/// How far a reporter's clock may be ahead of the database's.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// The maximum length in characters of the name of a network's region.
pub const REGION: usize = 100;
/// The maximum number of points in a series of usage.
pub const MAX_USAGE_POINTS: i64 = 1_000;
/// The number of organizations whose storage is metered in one transaction.
pub const METERED_ORGANIZATIONS: i64 = 100;
/// The number of requests for a larger plan that one organization may make within a day (R79).
pub const UPGRADE_REQUESTS: i64 = 3;
/// The maximum number of API keys of one person for one organization, and of service keys of one organization.
pub const MAX_API_KEYS: i64 = 100;
/// The maximum number of resources that one command brings in, deletes or hands over (R88).
pub const MAX_UPSERTED_RESOURCES: usize = 1000;
/// The maximum number of resources in those that one command deletes, which it deletes with them.
pub const MAX_DELETED_CONTENTS: i64 = 10_000;
/// The maximum number of accounts, and of members of an organization, that one command brings in.
pub const MAX_UPSERTED_PEOPLE: usize = 500;
/// The maximum number of organizations, and of teams of an organization, that one command brings in.
pub const MAX_UPSERTED_GROUPS: usize = 100;
/// The maximum number of characters of a platform's own id of an object.
pub const EXTERNAL_ID: usize = 255;
/// The maximum number of characters of a platform's own noun for a resource.
pub const SUBTYPE: usize = 50;
/// The maximum number of bytes of what a platform attaches to an object, as JSON.
pub const METADATA_BYTES: usize = 8192;
/// How deep objects and lists may lie in one another there. Readers of JSON give up at about a hundred.
pub const METADATA_DEPTH: usize = 32;
/// The maximum number of organizations to which a platform key can be limited.
pub const MAX_PLATFORM_KEY_ORGANIZATIONS: usize = 100;
/// For how many hours at most a platform key's previous secret works on: 30 days.
pub const MAX_PLATFORM_KEY_OVERLAP_HOURS: i32 = 720;
/// The maximum number of organizations, including the personal one, that an account can leave when it is deleted.
pub const MAX_LEFT_WITH_ACCOUNT: usize = 100;
/// The maximum number of items in a list without pagination. For each such list, there is one with pagination that
/// contains all items.
pub const MAX_UNPAGED: i64 = 100;
/// The maximum number of organizations that one person may own.
pub const MAX_OWNED_ORGANIZATIONS: i64 = 1_000;

/// How long a username or slug that was given up is reserved for its former holder.
pub const NAME_RESERVATION: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The maximum number of names that are reserved for one account or organization at the same time. It prevents anyone
/// from blocking names by changing their own.
pub const MAX_RESERVED_NAMES: usize = 10;

/// How long a session lasts.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a form that is sent again leads to the result of the first time, and a page to the token that it created.
pub const FORM_SENT_AGAIN: Duration = Duration::from_secs(10 * 60);
/// The precision with which the last use of a session or key is recorded.
pub const LAST_SEEN_GRAIN: Duration = Duration::from_secs(5 * 60);
/// How long the digits of a sign-in email work.
pub const SIGN_IN_DIGITS_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The number of attempts at the digits of one email.
pub const SIGN_IN_DIGIT_TRIES: i32 = 5;
/// How long the link of a sign-in email works.
pub const SIGN_IN_LINK_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How long the link works that confirms an account's new address.
pub const EMAIL_CHANGE_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How long the email about the end of a membership waits for the receipt, which then tells both.
pub const DEPARTURE_NOTICE: Duration = Duration::from_secs(60);
/// How long after a departure it can be reverted.
pub const REVERTIBLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long an offer to transfer a project is valid.
pub const TRANSFER_OFFER: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How many days an organization's invitations may be valid (R23).
pub const INVITATION_DAYS: std::ops::RangeInclusive<i32> = 1..=30;
/// How long before its expiry the invited person is reminded of an invitation.
pub const INVITATION_REMINDER: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a deleted organization can be restored (R48).
pub const RESTORABLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The maximum number of teams in one organization.
pub const MAX_TEAMS: i64 = 1_000;
/// The maximum number of people that one request adds to a team.
pub const MAX_TEAM_ADDITIONS: usize = 100;
/// The maximum number of teams that one invitation leads to.
pub const MAX_INVITATION_TEAMS: usize = 20;
/// The maximum number of resources on which one invitation gives a level.
pub const MAX_INVITATION_GRANTS: usize = 20;
/// The maximum length in characters of the inviter's message in an invitation.
pub const INVITATION_MESSAGE: usize = 1_000;
/// The maximum number of ids of a kind that one audit event names.
pub const AUDIT_IDS: usize = 1_000;

/// The maximum number of users, teams and organizations that one resource is shared with.
pub const MAX_GRANTS: i64 = 1_000;
/// The maximum number of addresses that are invited to one resource.
pub const MAX_GRANT_INVITATIONS: i64 = 100;
/// The maximum number of resources of one organization that wait for one address to sign in.
pub const MAX_GRANT_INVITATIONS_OF_ADDRESS: i64 = 1_000;
/// The maximum number of share links to one collection.
pub const MAX_SHARE_LINKS: i64 = 50;
/// The maximum number of resources that one request adds to a collection, or removes from it.
pub const MAX_COLLECTED: usize = 100;
/// The maximum number of resources in one collection.
pub const MAX_COLLECTION_ITEMS: i64 = 10_000;
/// The maximum number of collections that gather a resource. Each of them is looked at when access to it is checked.
pub const MAX_COLLECTIONS_OF_ITEM: i64 = 100;
/// The number of matching names up to which a search for resources checks each name's resource. If there are more, it
/// goes along the list of what the viewer reaches.
pub const SEARCH_LOOKED_AT: f64 = 20_000.0;

/// The maximum number of webhooks of one organization.
pub const MAX_WEBHOOKS: i64 = 20;
/// The maximum number of webhooks of the platform. One statement reads on for all of them ([`FEED_PLACES`]).
pub const MAX_PLATFORM_WEBHOOKS: i64 = 20;
/// The maximum length in characters of a webhook's URL.
pub const WEBHOOK_URL: usize = 2_000;
/// How long deliveries are attempted before the webhook is disabled (R75).
pub const WEBHOOK_FAILING: Duration = Duration::from_secs(24 * 60 * 60);
/// The maximum time by which a webhook's receiver can delay the next attempt with `Retry-After`.
pub const LONGEST_WEBHOOK_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
/// How long after a rotation deliveries are also signed with the previous secret.
pub const WEBHOOK_SECRET_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
/// The maximum number of earlier secrets that sign a webhook's deliveries. Each of them adds a signature to every
/// delivery.
pub const MAX_WEBHOOK_PREVIOUS_SECRETS: i64 = 5;
/// The maximum number of deliveries of one webhook that wait to be repeated.
pub const MAX_REDELIVERIES: i64 = 100;
/// The number of audit events in which one statement searches for those that a webhook is subscribed to.
pub const WEBHOOK_WINDOW: i64 = 10_000;

/// The maximum number of ids of one kind that an event's metadata names.
pub const IDS_OF_EVENT: usize = 1_000;

/// The number of resources that one transaction of a cascade moves. It is low enough that nobody notices its locks.
pub const CASCADE_CHUNK: i64 = 1_000;
/// The number of examples that each step of a departure's plan names.
pub const PLAN_EXAMPLES: usize = 5;
/// The number of rows that one transaction of a sweep changes or deletes.
pub const SWEEP_CHUNK: u32 = 500;
/// How long an ended session is kept.
pub const SESSION_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How old a token of an issuer may be, however long it is valid. Ended sessions and identities are kept for longer,
/// so that tokens from before their end are known.
pub const ISSUED_TOKEN_AGE: Duration = Duration::from_secs(29 * 24 * 60 * 60);
/// How far the clock of an issuer may be from this one.
pub const CLOCKS_APART: Duration = Duration::from_secs(60);
/// The maximum number of characters of what an issuer calls a person, which is that of OpenID Connect.
pub const SUBJECT: usize = 255;
/// How long it is remembered what became of a request with an idempotency key (R91).
pub const IDEMPOTENCY_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a repeated request waits for the answer of the first one, which has been carried out.
pub const IDEMPOTENT_ANSWER_WAIT: Duration = Duration::from_secs(5);
/// The maximum length of an idempotency key, in characters (R91).
pub const IDEMPOTENCY_KEY: usize = 255;
/// How long a request to sign in is kept. Its link has long expired by then.
pub const SIGN_IN_REQUEST_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a change of an account's address is kept. Its link has long expired by then.
pub const EMAIL_CHANGE_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long the address of a deleted account is kept at most, for the email that confirms the deletion. It is longer
/// than the email is tried.
pub const ACCOUNT_DELETION_RETENTION: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// How long a webhook's delivery is kept after it succeeded or was given up.
pub const WEBHOOK_DELIVERY_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a completed job is kept, so that its outcome can be looked up.
pub const JOB_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The number of resources that a departure's receipt names.
pub const RECEIPT_EXAMPLES: i64 = 20;
/// The number of audit events that one call of `verifyAuditLog` checks.
pub const VERIFY_CHUNK: i64 = 10_000;
/// The number of violations of an invariant that `rollcall admin verify` names.
pub const VERIFY_EXAMPLES: i64 = 10;

/// How long sending an email is attempted.
pub const MAIL_TRIED_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest pause between two attempts to send an email, so that a mail server that is back gets its emails soon.
pub const LONGEST_MAIL_PAUSE: Duration = Duration::from_secs(30 * 60);

/// The number of attempts that are allowed in a period. Attempts are counted before they are checked.
#[derive(Debug, Clone, Copy)]
pub struct TryLimit {
    /// The name under which attempts are counted.
    pub bucket: &'static str,
    /// The number of attempts that are allowed.
    pub tries: i32,
    /// The period.
    pub window: Duration,
}

/// The limits that an attempt counts towards (R30). Only wrong attempts stay counted: a right one is taken back in its
/// transaction.
#[derive(Debug, Clone, Copy)]
pub struct TryLimits {
    /// For each account, or for each address that somebody signs in with.
    pub account: TryLimit,
    /// For each client: an IPv4 address or an IPv6 /64.
    pub client: TryLimit,
    /// For the whole deployment.
    pub deployment: TryLimit,
}

const fn quarter_of_an_hour(bucket: &'static str, tries: i32) -> TryLimit {
    TryLimit { bucket, tries, window: Duration::from_secs(15 * 60) }
}

/// Wrong join codes.
///
/// A guess hits a given active code with a probability of 1 in 10^8. Within the code's 24 hours, an account can make
/// 960 guesses (1 in 100,000), a client with any number of accounts 5,760 (1 in 17,000), and the whole world 96,000 (1
/// in 1,000). If a thousand codes are active, the whole world together hits one of them a day. Whoever does so joins
/// as a MEMBER, and the owner gets an email about it.
///
/// The client's limit is enough for a class of 50 that enters its codes at the same moment, since each code counts
/// until it is found to be right. To use up the deployment's limit, and thereby prevent others from joining, somebody
/// needs 100 accounts at 17 addresses every quarter of an hour. Invitations still work then.
pub const JOIN_CODE_TRIES: TryLimits = TryLimits {
    account: quarter_of_an_hour("join_code", 10),
    client: quarter_of_an_hour("join_code_client", 60),
    deployment: quarter_of_an_hour("join_code_deployment", 1_000),
};
/// Wrong digits of sign-in emails. The link in the same email works without digits, so reaching this limit doesn't
/// lock anybody out.
///
/// A guess hits with a probability of 1 in 10^6, and only during the ten minutes of an email and for five attempts.
/// Somebody who keeps requesting emails to an address can make 240 guesses a day at its digits (1 in 4,000). The whole
/// world together can make 28,800, at any accounts (1 in 35).
pub const SIGN_IN_DIGITS: TryLimits = TryLimits {
    account: TryLimit { bucket: "sign_in_digits", tries: 10, window: Duration::from_secs(60 * 60) },
    client: quarter_of_an_hour("sign_in_digits_client", 60),
    deployment: quarter_of_an_hour("sign_in_digits_deployment", 300),
};
/// Requests for sign-in emails. Each is counted, whether or not the email is used, since it goes to an address that
/// somebody has typed. A form that is sent again isn't.
///
/// Anybody can request emails to anybody's address. The first of the limits is therefore for an address and a client
/// together: nobody is refused because of what others request, or learns whether they do. How many emails an address
/// is sent is limited by [`SIGN_IN_MAILS`], which no answer reveals.
///
/// The client's limit is many times what all people behind one client need, and the deployment's limit is 33 emails a
/// second. Beyond them, only people with an account, and people who are invited, are sent emails. Emails to strangers
/// have a lower limit, [`STRANGERS_SIGN_IN_MAILS`].
pub const SIGN_IN_REQUESTS: TryLimits = TryLimits {
    account: TryLimit { bucket: "sign_in_request", tries: 10, window: SIGN_IN_LINK_LIFETIME },
    client: quarter_of_an_hour("sign_in_request_client", 3_000),
    deployment: quarter_of_an_hour("sign_in_request_deployment", 30_000),
};
/// Sign-in emails that an address is sent in a day. The email's job checks this limit and nobody is told, since the
/// response is the same for every address.
pub const SIGN_IN_MAILS: TryLimit = a_day("sign_in_mail", 20);
/// Further sign-in emails. The period is shorter than [`SIGN_IN_LINK_LIFETIME`] by more than emails wait, so that there
/// is always one whose link works, whoever requested it. Signing in resets both limits.
pub const LATER_SIGN_IN_MAILS: TryLimit =
    TryLimit { bucket: "sign_in_mail_later", tries: 1, window: Duration::from_secs(45 * 60) };
/// Sign-in emails to addresses without an account, for each client that requests them. The limit is enough for a class
/// that starts together.
pub const STRANGERS_SIGN_IN_MAILS: TryLimit = quarter_of_an_hour("sign_in_mail_stranger", 100);
/// Requests to change an account's address. Each is counted, since it sends an email to an address that somebody has
/// typed.
pub const EMAIL_CHANGES: TryLimits = TryLimits {
    account: TryLimit { bucket: "email_change", tries: 10, window: Duration::from_secs(60 * 60) },
    client: quarter_of_an_hour("email_change_client", 30),
    deployment: quarter_of_an_hour("email_change_deployment", 1_000),
};
/// The emails of an organization that its members cause: invitations to it and to its resources, reminders, changes of
/// roles, and offers of projects with their answers. Emails beyond the limit are sent in the following minutes. Emails
/// that keep an account or an organization safe aren't limited: those for signing in, those about accounts, and those
/// about who joined or left.
pub const ORGANIZATION_MAILS: TryLimit =
    TryLimit { bucket: "organization_mail", tries: 100, window: Duration::from_secs(60) };
/// Guesses at names that the responses reveal. These are usernames and slugs that don't exist, with which somebody
/// tries to share, offer or invite, and names that somebody wants to have and that are taken. The limit ensures that
/// nobody learns from the responses who has an account and which organizations exist (R21). Names that exist, or that
/// are free, aren't counted in the end.
pub const NAME_GUESSES: TryLimits = TryLimits {
    account: quarter_of_an_hour("name_guess", 300),
    client: quarter_of_an_hour("name_guess_client", 600),
    deployment: quarter_of_an_hour("name_guess_deployment", 20_000),
};
/// Emails that one address gets because other people want something of it, whoever and wherever they are: invitations,
/// whether new or resent, their reminders, resources shared with an address without an account, offers of projects,
/// and links that confirm an address. Emails beyond the limit are refused; a reminder beyond it isn't sent.
///
/// Addresses are counted as they are written, ignoring case. `ada+lab@…` and `a.da@…` count as different mailboxes,
/// since only their server knows better. Sign-in emails have limits of their own, so using up this limit for an
/// address doesn't prevent anybody from signing in.
pub const RECIPIENT_MAILS: [TryLimit; 2] = [
    TryLimit { bucket: "recipient_mail_hour", tries: 5, window: Duration::from_secs(60 * 60) },
    TryLimit { bucket: "recipient_mail_day", tries: 20, window: Duration::from_secs(24 * 60 * 60) },
];
/// The same emails, counted for those who cause them. Each address counts, however many a request names.
///
/// The account's limit is that of `ROLLCALL_INVITATIONS_PER_DAY`, or of `ROLLCALL_NEW_ACCOUNT_INVITATIONS_PER_DAY`
/// while the account is new. If the operator allows an account more than the limits for a client or the deployment,
/// that applies to them too. The limits that are shared by many people have a period of an hour. To use up the
/// deployment's limit, somebody needs 10 accounts that are older than a day, or 100 new ones.
pub const CAUSED_MAILS: TryLimits = TryLimits {
    account: TryLimit { bucket: "caused_mail", tries: 2_000, window: Duration::from_secs(24 * 60 * 60) },
    client: TryLimit { bucket: "caused_mail_client", tries: 2_500, window: Duration::from_secs(60 * 60) },
    deployment: TryLimit { bucket: "caused_mail_deployment", tries: 20_000, window: Duration::from_secs(60 * 60) },
};
/// Requests for more, which are emails to the deployment's support, counted for those who ask. The support's address
/// has no limit as a recipient: if it had, a few accounts could keep all other organizations from asking. To use up the
/// deployment's limit, somebody needs 100 accounts and 34 clients in one hour.
pub const SUPPORT_MAILS: TryLimits = TryLimits {
    account: a_day("support_mail", 10),
    client: TryLimit { bucket: "support_mail_client", tries: 30, window: Duration::from_secs(60 * 60) },
    deployment: TryLimit { bucket: "support_mail_deployment", tries: 1_000, window: Duration::from_secs(60 * 60) },
};
/// How long an account counts as new.
pub const NEW_ACCOUNT: Duration = Duration::from_secs(24 * 60 * 60);
/// The number of emails that a new account may cause in a day.
pub const NEW_ACCOUNT_MAILS: i32 = 200;
/// Emails of each kind about one membership: changes of its role, its end, its receipts, its return, and its beginning
/// if the platform made it. The change itself never waits for its email; emails beyond the limit aren't sent. The limit
/// is so low that no organization can use up what others may send to the same person.
pub const MEMBERSHIP_MAILS: TryLimit = a_day("membership_mail", 5);
/// Emails to one person about memberships that ended, with the receipts, that came back, or that the platform made, in
/// all organizations.
pub const MEMBER_MAILS: TryLimit = a_day("member_mail", 20);
/// Emails to one person about changes of their roles, in all organizations. They don't count towards the limit for the
/// end of memberships.
pub const ROLE_MAILS: TryLimit = a_day("role_mail", 20);
/// Receipts to one person who received what others left behind, in all organizations. `Organization.departures` shows
/// all of them.
pub const RECEIPT_MAILS: TryLimit = a_day("receipt_mail", 200);

/// New grants that one account gives, by id or username, to people whom it may not look up. They need no consent, and
/// appear in those people's lists of resources. What is shared with an address, a team or an organization isn't
/// counted.
pub const STRANGERS_GRANTS: TryLimit = a_day("stranger_grant", 50);
/// New grants that one person gets from people who may not look them up.
pub const GRANTS_OF_STRANGERS: TryLimit = a_day("stranger_grant_to", 20);

const fn a_day(bucket: &'static str, tries: i32) -> TryLimit {
    TryLimit { bucket, tries, window: Duration::from_secs(24 * 60 * 60) }
}
