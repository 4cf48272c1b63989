//! Between an API and PostgreSQL: holds a commit up on its way there, or its answer on the way back.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

/// What is held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The commit doesn't reach PostgreSQL.
    Commit,
    /// PostgreSQL has committed, and the API doesn't hear of it.
    Answer,
}

/// The statement as it is sent, and the tag as it is answered; both end so.
const COMMIT: &[u8] = b"COMMIT\0";

/// A way to a database, by TCP.
pub struct Proxy {
    pub url: String,
    hold: Arc<Mutex<Option<Hold>>>,
    held: watch::Sender<bool>,
}

impl Proxy {
    /// `url` is that of the tests' databases: `postgres://user@%2Ffolder%2Fof%2Fsocket/name`.
    pub async fn start(url: &str) -> Self {
        let (user, rest) = url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
        let (folder, name) = rest.rsplit_once('/').unwrap();
        let socket = format!("{}/.s.PGSQL.5432", folder.replace("%2F", "/"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://{user}@{}/{name}", listener.local_addr().unwrap());
        let hold = Arc::new(Mutex::new(None));
        let held = watch::Sender::new(false);
        let (seen, told) = (hold.clone(), held.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (socket, hold, held) = (socket.clone(), seen.clone(), told.clone());
                tokio::spawn(async move {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = UnixStream::connect(socket).await.unwrap().into_split();
                    // Whoever goes first takes the other along.
                    tokio::select! {
                        () = pass(from_client, to_server, Hold::Commit, &hold, &held) => {}
                        () = pass(from_server, to_client, Hold::Answer, &hold, &held) => {}
                    }
                });
            }
        });
        Self { url, hold, held }
    }

    /// Holds up the next commit.
    pub fn hold(&self, hold: Hold) {
        *self.hold.lock().unwrap() = Some(hold);
    }

    /// Waits until it is held up.
    pub async fn held(&self) {
        self.held.subscribe().wait_for(|held| *held).await.unwrap();
    }
}

/// Passes on what comes, until the end or what is to be held up; from there on nothing passes.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Hold,
    hold: &Mutex<Option<Hold>>,
    held: &watch::Sender<bool>,
) {
    let mut buffer = vec![0; 65_536];
    // What comes may be cut anywhere.
    let mut seen = Vec::new();
    let mut stopped = false;
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if stopped {
            continue;
        }
        seen.extend_from_slice(&buffer[..length]);
        let wanted = *hold.lock().unwrap() == Some(direction);
        if wanted && seen.windows(COMMIT.len()).any(|bytes| bytes == COMMIT) {
            stopped = true;
            held.send_replace(true);
            continue;
        }
        seen.drain(..seen.len().saturating_sub(COMMIT.len() - 1));
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
