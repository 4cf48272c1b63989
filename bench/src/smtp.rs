//! An SMTP server that accepts every email at once and keeps it in memory.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::bail;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The emails that have arrived, and when the first and the last did.
#[derive(Default)]
struct Arrived {
    mails: Vec<String>,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// The server. It ends when the value is dropped.
pub struct Sink {
    /// The address, as `127.0.0.1:port`.
    pub address: String,
    arrived: Rc<RefCell<Arrived>>,
    task: tokio::task::JoinHandle<()>,
}

impl Sink {
    /// Starts the server. This needs a `LocalSet`.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let arrived = Rc::new(RefCell::new(Arrived::default()));
        let kept = arrived.clone();
        let task = tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client whose connection breaks sends the email again.
                let arrived = kept.clone();
                tokio::task::spawn_local(async move { drop(converse(stream, &arrived).await) });
            }
        });
        Ok(Self { address, arrived, task })
    }

    /// The number of emails that have arrived.
    pub fn count(&self) -> usize {
        self.arrived.borrow().mails.len()
    }

    /// The emails per second, from the first to the last.
    pub fn rate(&self) -> f64 {
        let arrived = self.arrived.borrow();
        match (arrived.first, arrived.last) {
            (Some(first), Some(last)) if last > first => {
                (arrived.mails.len() - 1) as f64 / (last - first).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    /// The emails as they were sent.
    pub fn mails(&self) -> Vec<String> {
        self.arrived.borrow().mails.clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(stream: TcpStream, arrived: &RefCell<Arrived>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink\r\n").await?;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let answer: &[u8] = match verb.as_str() {
            "EHLO" => b"250-sink\r\n250 8BITMIME\r\n",
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mail = read_mail(&mut stream).await?;
                let mut arrived = arrived.borrow_mut();
                let now = Instant::now();
                arrived.first.get_or_insert(now);
                arrived.last = Some(now);
                arrived.mails.push(mail);
                b"250 taken\r\n"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer).await?;
    }
}

async fn read_mail(stream: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut mail = Vec::new();
    loop {
        let from = mail.len();
        if stream.read_until(b'\n', &mut mail).await? == 0 {
            bail!("the connection ended within a mail");
        }
        if mail.get(from..) == Some(b".\r\n".as_slice()) {
            mail.truncate(from);
            return Ok(String::from_utf8_lossy(&mail).into_owned());
        }
    }
}

/// Returns the token of the link to `/sign-in/` in an email, whose lines may be broken by quoted-printable encoding.
pub fn sign_in_token(mail: &str) -> Option<String> {
    let whole = mail.replace("=\r\n", "");
    let (_, behind) = whole.split_once("/sign-in/")?;
    let is_part = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    let token: String = behind.chars().take_while(is_part).collect();
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::sign_in_token;

    #[test]
    fn a_link_may_be_broken() {
        let mail = "Sign in: http://127.0.0.1:8080/sign-in/AbC-=\r\nd_1\r\n\r\nThe link works once.";
        assert_eq!(sign_in_token(mail).as_deref(), Some("AbC-d_1"));
    }
}
