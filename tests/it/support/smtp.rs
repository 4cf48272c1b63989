//! A mail server: a real conversation over TCP, with answers that a test can choose.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::mail::Mail;

/// What the server does with a recipient's next mail; after the last one it accepts.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// Takes it.
    Accept,
    /// Answers RCPT with this, such as `550 5.1.1 No such user`.
    Recipient(&'static str),
    /// Takes the data and answers with this.
    Data(&'static str),
    /// Takes the data and hangs up without an answer.
    DropAfterData,
}

#[derive(Default)]
struct State {
    replies: HashMap<String, VecDeque<Reply>>,
    mails: Vec<Mail>,
}

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub struct SmtpServer {
    pub port: u16,
    state: Arc<Mutex<State>>,
    arrived: watch::Sender<usize>,
}

impl SmtpServer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server =
            Self { port: listener.local_addr().unwrap().port(), state: Arc::default(), arrived: watch::Sender::new(0) };
        let shared = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = shared.clone();
                // A client that hangs up ends the conversation.
                tokio::spawn(async move { server.converse(stream).await.ok() });
            }
        });
        server
    }

    /// Answers the next mails to an address so.
    pub fn reply(&self, address: &str, replies: impl IntoIterator<Item = Reply>) {
        self.state.lock().unwrap().replies.entry(address.to_owned()).or_default().extend(replies);
    }

    /// Every mail that came, in order.
    pub fn mails(&self) -> Vec<Mail> {
        self.state.lock().unwrap().mails.clone()
    }

    /// Tells of each mail that comes.
    pub fn arrivals(&self) -> watch::Receiver<usize> {
        self.arrived.subscribe()
    }

    fn next_reply(&self, address: &str) -> Reply {
        self.state.lock().unwrap().replies.get_mut(address).and_then(VecDeque::pop_front).unwrap_or(Reply::Accept)
    }

    async fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        let mut recipients: Vec<(String, Reply)> = Vec::new();
        writer.write_all(b"220 test ESMTP\r\n").await?;
        while let Some(line) = lines.next_line().await? {
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let answer = match verb.as_str() {
                "EHLO" => "250-test\r\n250-8BITMIME\r\n250 SMTPUTF8",
                "HELO" | "NOOP" => "250 OK",
                "MAIL" | "RSET" => {
                    recipients.clear();
                    "250 OK"
                }
                "RCPT" => {
                    let address = line
                        .split_once('<')
                        .and_then(|(_, rest)| rest.split_once('>'))
                        .map_or("", |(address, _)| address);
                    match self.next_reply(address) {
                        Reply::Recipient(answer) => answer,
                        reply => {
                            recipients.push((address.to_owned(), reply));
                            "250 OK"
                        }
                    }
                }
                "DATA" if recipients.is_empty() => "503 No recipient",
                "DATA" => {
                    writer.write_all(b"354 Go on\r\n").await?;
                    let mut data = String::new();
                    loop {
                        let Some(line) = lines.next_line().await? else { return Ok(()) };
                        if line == "." {
                            break;
                        }
                        data.push_str(line.strip_prefix('.').unwrap_or(&line));
                        data.push_str("\r\n");
                    }
                    let (taken, answer) = match recipients.first().map(|(_, reply)| *reply) {
                        Some(Reply::Data(answer)) => (answer.starts_with('2'), Some(answer)),
                        Some(Reply::DropAfterData) => (true, None),
                        _ => (true, Some("250 Queued")),
                    };
                    if taken {
                        let mut state = self.state.lock().unwrap();
                        state.mails.extend(recipients.iter().map(|(address, _)| Mail::parse(address, &data)));
                        self.arrived.send_replace(state.mails.len());
                    }
                    recipients.clear();
                    let Some(answer) = answer else { return Ok(()) };
                    answer
                }
                "QUIT" => {
                    writer.write_all(b"221 Bye\r\n").await?;
                    return Ok(());
                }
                _ => "502 Not known",
            };
            writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
        Ok(())
    }
}
