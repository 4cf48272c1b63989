//! The followers of one process, and the one task that reads the database for all of them.
//!
//! A follower asks for what comes next only once its client has taken what came before, so that nothing is kept for
//! clients that are slow: they continue from the database when they are ready. Whenever something was committed, and
//! once a second in case nobody told of it, a *look* reads what all followers wait for, and whether each of them may
//! still see it, with a constant number of statements. Without followers, there are no looks and no connection.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollcall_domain::account::authentication;
use rollcall_domain::authority::access::{self, Permit};
use rollcall_domain::authority::actor::Actor;
use rollcall_domain::authority::audit::AuditEvent;
use rollcall_domain::base::id::{DepartureId, OrganizationId};
use rollcall_domain::base::limits;
use rollcall_domain::database::Endpoint;
use rollcall_domain::database::listener::Listener;
use rollcall_domain::departure::following::{self, ProgressMark};
use rollcall_domain::departure::{self, Departure};
use rollcall_domain::event::feed::{self, Position};
use rollcall_domain::event::platform_feed::{self, FeedFilter, FeedPart, FeedPlace, FeedReader};
use rollcall_domain::{Error, Result};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The longest time between two looks. It bounds how long an idle follower outlives its right to follow, and how late
/// an event is whose notification was lost.
const LOOK: Duration = Duration::from_secs(1);
/// The shortest time between two looks, in which notifications and questions gather.
const GRAIN: Duration = Duration::from_millis(20);
/// The time between two looks while events of the feed over all organizations can't be shown yet.
const HELD_BACK: Duration = Duration::from_millis(100);
/// How long the connection is kept without followers.
const KEPT: Duration = Duration::from_secs(30);
/// How long a look may take before its connection counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// The followers of a process. Cloning it is cheap.
#[derive(Clone, Default)]
pub struct Hub(Arc<Shared>);

#[derive(Default)]
struct Shared {
    followers: Mutex<Followers>,
    /// Notified when a follower asks.
    asked: Notify,
}

#[derive(Default)]
struct Followers {
    all: HashMap<u64, Follower>,
    last: u64,
}

struct Follower {
    actor: Arc<Actor>,
    topic: Topic,
    /// Set while the follower waits.
    waiting: Option<oneshot::Sender<News>>,
    /// Why the follower may not go on, if so.
    ended: Option<Error>,
}

/// What somebody follows, and how far they are.
#[derive(Clone)]
enum Topic {
    Events(Position),
    /// The feed over all organizations (R90).
    Feed(Arc<FeedReader>),
    Departure {
        /// The departure as it was when the follower began. The people concerned never change.
        departure: Arc<Departure>,
        /// What the follower was shown last.
        shown: Option<Arc<ProgressMark>>,
    },
}

impl Topic {
    /// The organization in which the follower needs a permit.
    fn organization_id(&self) -> Option<OrganizationId> {
        match self {
            Self::Events(position) => Some(position.organization_id),
            Self::Departure { departure, .. } => Some(departure.organization_id),
            Self::Feed(_) => None,
        }
    }

    /// Fails unless the actor, who has this permit, may still follow the topic.
    fn require(&self, actor: &Actor, permit: Option<&Permit>) -> Result<()> {
        match self {
            Self::Events(_) => feed::require(permit),
            Self::Feed(reader) => reader.filter.require(actor),
            Self::Departure { departure, .. } if departure::is_visible_to(actor, permit, departure) => Ok(()),
            Self::Departure { .. } => Err(following::not_found().into()),
        }
    }
}

/// What a follower has waited for.
enum News {
    Events(Arc<[AuditEvent]>),
    Feed(Arc<FeedPart>),
    Departure(Arc<(Departure, ProgressMark)>),
    /// The follower may not go on; why is with the follower.
    Ended,
}

/// A follower, as a look sees it.
struct Seen {
    number: u64,
    actor: Arc<Actor>,
    topic: Topic,
    is_waiting: bool,
}

impl Hub {
    /// Follows the events of an organization from a position on.
    pub fn follow_events(&self, actor: &Actor, position: Position) -> EventFollower {
        let following = self.begin(actor, Topic::Events(position));
        EventFollower { following, position, page: Arc::new([]), next: 0 }
    }

    /// Follows the feed over all organizations from a place on.
    pub fn follow_feed(&self, actor: &Actor, place: FeedPlace, filter: FeedFilter) -> FeedFollower {
        let reader = FeedReader { place, filter };
        let following = self.begin(actor, Topic::Feed(Arc::new(reader.clone())));
        FeedFollower { following, reader, part: None, next: 0 }
    }

    /// Follows a departure, from its present state on.
    pub fn follow_departure(&self, actor: &Actor, departure: Departure) -> DepartureFollower {
        let departure = Arc::new(departure);
        let following = self.begin(actor, Topic::Departure { departure: departure.clone(), shown: None });
        DepartureFollower { following, departure, shown: None, has_ended: false }
    }

    fn begin(&self, actor: &Actor, topic: Topic) -> Following {
        let mut followers = self.followers();
        followers.last += 1;
        let number = followers.last;
        let follower = Follower { actor: Arc::new(actor.clone()), topic, waiting: None, ended: None };
        followers.all.insert(number, follower);
        Following { hub: self.clone(), number }
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        // Nothing panics while the lock is held.
        self.0.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle(&self) -> bool {
        self.followers().all.is_empty()
    }

    /// Serves the followers until `shutdown` is cancelled. `endpoint` leads to the database without a pooler.
    pub async fn run(self, endpoint: Endpoint, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.run_again_and_again(&endpoint)).await;
    }

    async fn run_again_and_again(&self, endpoint: &Endpoint) {
        let mut is_failing = false;
        loop {
            while self.is_idle() {
                self.0.asked.notified().await;
            }
            let Err(error) = self.run_once(endpoint, &mut is_failing).await else { continue };
            if !is_failing {
                is_failing = true;
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "subscriptions are told nothing until the database can be reached again");
            }
            sleep(LOOK).await;
        }
    }

    /// Serves the followers on one connection, until it is lost or nobody has needed it for some time.
    async fn run_once(&self, endpoint: &Endpoint, is_failing: &mut bool) -> Result<()> {
        let too_slow = |elapsed| Error::Unavailable(Box::new(elapsed));
        let listener = timeout(PATIENCE, Listener::connect(endpoint, "rollcall subscriptions"));
        let mut listener = listener.await.map_err(too_slow)??;
        loop {
            let is_idle = self.is_idle();
            let seen = match is_idle {
                true => Seeing::Everything,
                false => timeout(PATIENCE, self.look(&mut listener)).await.map_err(too_slow)??,
            };
            if std::mem::take(is_failing) {
                tracing::info!("subscriptions are served again");
            }
            let pause = match seen {
                Seeing::Part => None,
                Seeing::UpToRunningTransactions => Some(HELD_BACK),
                Seeing::Everything if is_idle => Some(KEPT),
                Seeing::Everything => Some(LOOK),
            };
            if let Some(pause) = pause {
                tokio::select! {
                    heard = listener.heard() => heard?,
                    () = self.0.asked.notified() => {}
                    () = sleep(pause) => if is_idle && self.is_idle() { return Ok(()) },
                }
            }
            sleep(GRAIN).await;
        }
    }

    /// Reads what the followers wait for, gives it to those who may have it, and ends those who may not go on. Returns
    /// how much of it could be read.
    async fn look(&self, listener: &mut Listener) -> Result<Seeing> {
        let seen = self.seen();
        let (mut positions, mut readers, mut departures) = (HashSet::new(), HashSet::new(), HashSet::new());
        for follower in seen.iter().filter(|follower| follower.is_waiting) {
            match &follower.topic {
                Topic::Events(position) => {
                    positions.insert(*position);
                }
                Topic::Feed(reader) => {
                    readers.insert((**reader).clone());
                }
                Topic::Departure { departure, .. } => {
                    departures.insert(departure.id);
                }
            }
        }
        let pages = feed::pages(listener, &positions).await?;
        let feed = platform_feed::read_on(listener, &readers, limits::FEED_PAGE).await?;
        let departures = following::read(listener, &departures.into_iter().collect::<Vec<_>>()).await?;
        // The right to see is read after what is to be seen. So whoever loses it gets nothing that was committed later.
        let actors: HashSet<Actor> = seen.iter().map(|follower| (*follower.actor).clone()).collect();
        let valid = authentication::still_valid(listener, &actors).await?;
        let memberships =
            seen.iter().filter_map(|follower| Some(((*follower.actor).clone(), follower.topic.organization_id()?)));
        let permits = access::permits_of(listener, &memberships.collect()).await?;
        let events = pages.events.into_iter().map(|(position, page)| (position, page.into())).collect();
        let departures = departures.into_iter().map(|(id, found)| (id, Arc::new(found))).collect();
        let parts = feed.parts.into_iter().map(|(reader, part)| (reader, Arc::new(part))).collect();
        self.deliver(&seen, &Found { valid, permits, events, parts, departures });
        Ok(match (pages.is_cut || feed.is_cut, feed.is_held_back) {
            (true, _) => Seeing::Part,
            (false, true) => Seeing::UpToRunningTransactions,
            (false, false) => Seeing::Everything,
        })
    }

    /// The followers that haven't ended.
    fn seen(&self) -> Vec<Seen> {
        let followers = self.followers();
        let going_on = followers.all.iter().filter(|(_, follower)| follower.ended.is_none());
        going_on
            .map(|(number, follower)| Seen {
                number: *number,
                actor: follower.actor.clone(),
                topic: follower.topic.clone(),
                is_waiting: follower.waiting.is_some(),
            })
            .collect()
    }

    fn deliver(&self, seen: &[Seen], found: &Found) {
        let mut followers = self.followers();
        for Seen { number, actor, topic, is_waiting } in seen {
            // A follower that has left in the meantime needs nothing.
            let Some(follower) = followers.all.get_mut(number) else { continue };
            let news = match found.require(actor, topic) {
                // What a follower asks for meanwhile is for the next look.
                Ok(()) if !is_waiting => Ok(None),
                Ok(()) => found.news(topic),
                Err(error) => Err(error),
            };
            let news = news.unwrap_or_else(|error| {
                follower.ended = Some(error);
                Some(News::Ended)
            });
            if let Some(news) = news
                && let Some(waiting) = follower.waiting.take()
            {
                // Whoever has stopped waiting asks again.
                let _ = waiting.send(news);
            }
        }
    }
}

/// How much of what is new a look has read.
enum Seeing {
    /// All of it.
    Everything,
    /// Of the feed, only what is older than every transaction still running.
    UpToRunningTransactions,
    /// Not everything, because there was too much at once.
    Part,
}

/// What a look has read.
struct Found {
    /// The actors whose sessions and keys haven't ended.
    valid: HashSet<Actor>,
    permits: HashMap<(Actor, OrganizationId), Permit>,
    events: HashMap<Position, Arc<[AuditEvent]>>,
    parts: HashMap<FeedReader, Arc<FeedPart>>,
    departures: HashMap<DepartureId, Arc<(Departure, ProgressMark)>>,
}

impl Found {
    fn require(&self, actor: &Actor, topic: &Topic) -> Result<()> {
        if !self.valid.contains(actor) {
            return Err(Error::Unauthenticated);
        }
        let permit = topic.organization_id().and_then(|id| self.permits.get(&(actor.clone(), id)));
        topic.require(actor, permit)
    }

    /// What is new of a topic, if anything.
    ///
    /// # Errors
    /// If a departure is gone, because its organization's data was removed.
    fn news(&self, topic: &Topic) -> Result<Option<News>> {
        match topic {
            Topic::Events(position) => Ok(self.events.get(position).cloned().map(News::Events)),
            Topic::Feed(reader) => Ok(self.parts.get(&**reader).cloned().map(News::Feed)),
            Topic::Departure { departure, shown } => {
                let found = self.departures.get(&departure.id).ok_or_else(following::not_found)?;
                let is_new = shown.as_ref().is_none_or(|shown| **shown != found.1);
                Ok(is_new.then(|| News::Departure(found.clone())))
            }
        }
    }
}

/// A place among the followers, until it is dropped.
struct Following {
    hub: Hub,
    number: u64,
}

impl Following {
    /// Waits for what is new of a topic.
    async fn ask(&self, topic: Topic) -> Result<News> {
        let news = {
            let mut followers = self.hub.followers();
            let follower = followers.all.get_mut(&self.number).ok_or(Error::Bug("a follower is missing"))?;
            if let Some(error) = follower.ended.take() {
                return Err(error);
            }
            follower.topic = topic;
            let (sender, news) = oneshot::channel();
            follower.waiting = Some(sender);
            news
        };
        self.hub.0.asked.notify_one();
        let news = news.await;
        self.require()?;
        news.map_err(|_| Error::Bug("a follower was forgotten"))
    }

    /// Fails once the follower may not go on.
    fn require(&self) -> Result<()> {
        let mut followers = self.hub.followers();
        match followers.all.get_mut(&self.number).and_then(|follower| follower.ended.take()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.hub.followers().all.remove(&self.number);
    }
}

/// Follows an organization's events.
pub struct EventFollower {
    following: Following,
    /// The position after the page.
    position: Position,
    /// The events that were read last, and which of them is next.
    page: Arc<[AuditEvent]>,
    next: usize,
}

impl EventFollower {
    /// Waits for the next event.
    ///
    /// # Errors
    /// Once the follower may not go on. Nothing comes after that.
    pub async fn next(&mut self) -> Result<AuditEvent> {
        loop {
            if let Some(event) = self.page.get(self.next) {
                self.following.require()?;
                self.next += 1;
                return Ok(event.clone());
            }
            match self.following.ask(Topic::Events(self.position)).await? {
                News::Events(page) => {
                    self.position.after = page.last().map_or(self.position.after, |event| event.sequence);
                    (self.page, self.next) = (page, 0);
                }
                News::Feed(_) | News::Departure(_) | News::Ended => {
                    return Err(Error::Bug("this isn't what was asked for"));
                }
            }
        }
    }
}

/// Follows the feed over all organizations.
pub struct FeedFollower {
    following: Following,
    /// The place after the part.
    reader: FeedReader,
    /// What was read last, and which of its events is next.
    part: Option<Arc<FeedPart>>,
    next: usize,
}

impl FeedFollower {
    /// Waits for the next event.
    ///
    /// # Errors
    /// Once the follower may not go on. Nothing comes after that.
    pub async fn next(&mut self) -> Result<AuditEvent> {
        loop {
            if let Some(event) = self.part.as_ref().and_then(|part| part.events.get(self.next)) {
                self.following.require()?;
                self.next += 1;
                return Ok(event.clone());
            }
            match self.following.ask(Topic::Feed(Arc::new(self.reader.clone()))).await? {
                News::Feed(part) => {
                    self.reader.place = part.reached;
                    (self.part, self.next) = (Some(part), 0);
                }
                News::Events(_) | News::Departure(_) | News::Ended => {
                    return Err(Error::Bug("this isn't what was asked for"));
                }
            }
        }
    }
}

/// Follows a departure.
pub struct DepartureFollower {
    following: Following,
    departure: Arc<Departure>,
    shown: Option<Arc<ProgressMark>>,
    has_ended: bool,
}

impl DepartureFollower {
    /// Waits until the departure isn't as it was shown before. `None` once its end was shown.
    ///
    /// # Errors
    /// Once the follower may not go on. Nothing comes after that.
    pub async fn next(&mut self) -> Result<Option<Departure>> {
        if self.has_ended {
            return Ok(None);
        }
        let topic = Topic::Departure { departure: self.departure.clone(), shown: self.shown.take() };
        match self.following.ask(topic).await? {
            News::Departure(found) => {
                let (departure, mark) = &*found;
                self.shown = Some(Arc::new(mark.clone()));
                self.has_ended = departure.has_ended();
                Ok(Some(departure.clone()))
            }
            News::Events(_) | News::Feed(_) | News::Ended => Err(Error::Bug("this isn't what was asked for")),
        }
    }
}
