//! Loading in batches. The keys that a request's fields need are collected until none of the fields can continue
//! without them. Then each batch is loaded with one statement.

use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use async_graphql::Error;
use futures_util::future::{BoxFuture, poll_fn};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use futures_util::task::AtomicWaker;
use rollcall_domain::database;
use tokio::sync::oneshot;

use super::error::top_level;
use super::turn::lock;

/// Loads a batch of keys.
pub trait Loader<K>: Send + Sync + 'static {
    /// The type of the values.
    type Value: Send + Sync + Clone + 'static;

    /// Loads the values of the keys with one statement. Keys without a value are missing in the result.
    fn load(&self, keys: &[K]) -> impl Future<Output = Result<HashMap<K, Self::Value>, Error>> + Send;
}

/// The result of a batch, for everybody who waits for a part of it.
type Found<K, V> = Result<Arc<HashMap<K, V>>, Error>;

/// The keys of one type that are to be loaded, and those who wait for them.
struct Batch<K, V> {
    keys: HashSet<K>,
    waiting: Vec<oneshot::Sender<Found<K, V>>>,
}

/// The batches of a request that are to be loaded.
#[derive(Default)]
pub struct Batches {
    /// The open batches, by the type of their keys.
    open: Mutex<HashMap<TypeId, Box<dyn Any + Send>>>,
    /// Functions that close and load one batch each.
    dispatches: Mutex<Vec<Dispatch>>,
}

type Dispatch = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// Loads values by key, for one request. Nothing is cached.
pub struct DataLoader<T> {
    loaders: Arc<T>,
    batches: Arc<Batches>,
}

impl<T> DataLoader<T> {
    /// A data loader whose batches [`Batches::run`] loads.
    pub fn new(loaders: T, batches: Arc<Batches>) -> Self {
        Self { loaders: Arc::new(loaders), batches }
    }

    /// Loads the value of a key, or `None` if it has none.
    pub async fn load_one<K>(&self, key: K) -> Result<Option<T::Value>, Error>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        T: Loader<K>,
    {
        let found = self.enter([key.clone()]).await?;
        Ok(found.get(&key).cloned())
    }

    /// Loads the values of the keys that have one.
    pub async fn load_many<K>(&self, keys: impl IntoIterator<Item = K>) -> Result<HashMap<K, T::Value>, Error>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        T: Loader<K>,
    {
        let keys: HashSet<K> = keys.into_iter().collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.enter(keys.iter().cloned()).await?;
        Ok(keys.into_iter().filter_map(|key| found.get(&key).cloned().map(|value| (key, value))).collect())
    }

    /// Adds keys to the open batch of their type, and waits for the batch.
    fn enter<K>(&self, keys: impl IntoIterator<Item = K>) -> impl Future<Output = Found<K, T::Value>>
    where
        K: Send + Sync + Hash + Eq + Clone + 'static,
        T: Loader<K>,
    {
        let (sender, found) = oneshot::channel();
        let mut open = lock(&self.batches.open);
        let batch = open.entry(TypeId::of::<K>()).or_insert_with(|| {
            let (loaders, batches) = (self.loaders.clone(), self.batches.clone());
            lock(&self.batches.dispatches).push(Box::new(move || {
                let batch = lock(&batches.open).remove(&TypeId::of::<K>());
                let batch = batch.and_then(|batch| batch.downcast::<Batch<K, T::Value>>().ok());
                Box::pin(async move {
                    if let Some(batch) = batch {
                        batch.load(&*loaders).await;
                    }
                })
            }));
            Box::new(Batch::<K, T::Value> { keys: HashSet::new(), waiting: Vec::new() })
        });
        if let Some(batch) = batch.downcast_mut::<Batch<K, T::Value>>() {
            batch.keys.extend(keys);
            batch.waiting.push(sender);
        }
        drop(open);
        async move {
            found.await.unwrap_or_else(|_| {
                Err(top_level(rollcall_domain::Error::Bug("a batch was given up before its request")))
            })
        }
    }
}

impl<K, V> Batch<K, V>
where
    K: Send + Sync + Hash + Eq + Clone + 'static,
    V: Send + Sync + Clone + 'static,
{
    async fn load<T: Loader<K, Value = V>>(self, loaders: &T) {
        let keys: Vec<K> = self.keys.into_iter().collect();
        // The batch's connection doesn't count as one held by the fields that wait for the batch.
        let found = database::subtask(loaders.load(&keys)).await.map(Arc::new);
        for waiting in self.waiting {
            // A field that was abandoned doesn't need the result.
            let _ = waiting.send(found.clone());
        }
    }
}

impl Batches {
    /// Runs a request. Whenever it can't continue, the batches collected so far are loaded concurrently.
    pub async fn run<O>(&self, request: impl Future<Output = O>) -> O {
        let mut request = pin!(request);
        let mut loading = FuturesUnordered::new();
        let progress = Arc::new(Progress::default());
        let waker = Waker::from(progress.clone());
        poll_fn(|context| {
            progress.task.register(context.waker());
            for _ in 0..MOST_POLLS {
                progress.begin();
                let polled = request.as_mut().poll(&mut Context::from_waker(&waker));
                let is_woken = progress.end();
                if let Poll::Ready(output) = polled {
                    return Poll::Ready(output);
                }
                if is_woken {
                    continue;
                }
                loading.extend(self.dispatch());
                if !has_loaded(&mut loading, context) {
                    return Poll::Pending;
                }
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    /// Closes the open batches and returns what loads them.
    fn dispatch(&self) -> Vec<BoxFuture<'static, ()>> {
        let dispatches = std::mem::take(&mut *lock(&self.dispatches));
        dispatches.into_iter().map(|dispatch| dispatch()).collect()
    }
}

/// How many times a request is polled before other tasks get a turn.
const MOST_POLLS: usize = 100;

/// Whether a pending request can continue without a batch. The future that resolves the fields of many objects yields
/// after a few of them, and wakes itself.
#[derive(Default)]
struct Progress {
    state: AtomicU8,
    task: AtomicWaker,
}

const IDLE: u8 = 0;
const POLLED: u8 = 1;
const WOKEN: u8 = 2;

impl Progress {
    fn begin(&self) {
        self.state.store(POLLED, Ordering::SeqCst);
    }

    /// Whether the request was woken while it was polled.
    fn end(&self) -> bool {
        self.state.swap(IDLE, Ordering::SeqCst) == WOKEN
    }
}

impl Wake for Progress {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.compare_exchange(POLLED, WOKEN, Ordering::SeqCst, Ordering::SeqCst) == Err(IDLE) {
            self.task.wake();
        }
    }
}

/// Whether one of the batches has just been loaded.
fn has_loaded(loading: &mut FuturesUnordered<BoxFuture<'static, ()>>, context: &mut Context<'_>) -> bool {
    matches!(loading.poll_next_unpin(context), Poll::Ready(Some(())))
}
