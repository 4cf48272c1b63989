//! A mail server: a real conversation over TCP, with answers and faults that a test can choose.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::mail::Mail;

/// What the server does with a recipient's next mail; after the last one it accepts.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// Takes it.
    Accept,
    /// Answers RCPT with this, such as `550 5.1.1 No such user`.
    Recipient(&'static str),
    /// Takes the data and hangs up without an answer.
    DropAfterData,
}

impl Reply {
    fn fault(self) -> Option<(Stage, Act)> {
        match self {
            Self::Accept => None,
            Self::Recipient(answer) => Some((Stage::Recipient, Act::Answer(answer))),
            Self::DropAfterData => Some((Stage::End, Act::Close)),
        }
    }
}

/// A moment of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The connection was made.
    Greeting,
    /// MAIL was said.
    Sender,
    /// RCPT was said.
    Recipient,
    /// DATA was said.
    Data,
    /// The mail has come, to its last dot.
    End,
}

/// What the server does instead of what is usual.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Answers this; after 421 it hangs up.
    Answer(&'static str),
    /// Says nothing any more until the client hangs up. A mail that has come to its end has been taken.
    Hang,
    /// Hangs up. A mail that has come to its end has been taken.
    Close,
}

/// How the server ends the connections that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    Silent,
    /// Says 421 first.
    Said,
}

#[derive(Default)]
struct State {
    replies: HashMap<String, VecDeque<Reply>>,
    /// In every conversation.
    fault: Option<(Stage, Act)>,
    /// In the next conversation that comes there.
    next_fault: Option<(Stage, Act)>,
    starttls: Option<&'static str>,
    connections: usize,
    hung: usize,
    mails: Vec<Mail>,
}

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub struct SmtpServer {
    pub port: u16,
    state: Arc<Mutex<State>>,
    arrived: watch::Sender<usize>,
    farewell: watch::Sender<Farewell>,
    standing: Arc<Mutex<Option<MemberRights>>>,
}

/// Whether the server can be reached; its port stays its own.
enum MemberRights {
    Up(JoinHandle<()>),
    Down(TcpSocket),
}

impl SmtpServer {
    pub async fn start() -> Self {
        let socket = socket(0);
        let server = Self {
            port: socket.local_addr().unwrap().port(),
            state: Arc::default(),
            arrived: watch::Sender::new(0),
            farewell: watch::Sender::new(Farewell::Silent),
            standing: Arc::new(Mutex::new(Some(MemberRights::Down(socket)))),
        };
        server.come_up();
        server
    }

    /// Refuses connections, and ends those that there are.
    pub async fn go_down(&self) {
        let standing = self.standing.lock().unwrap().take();
        let Some(MemberRights::Up(listener)) = standing else { panic!("it is down") };
        listener.abort();
        assert!(listener.await.unwrap_err().is_cancelled());
        *self.standing.lock().unwrap() = Some(MemberRights::Down(socket(self.port)));
        self.hang_up(Farewell::Silent);
    }

    /// Takes connections (again).
    pub fn come_up(&self) {
        let mut standing = self.standing.lock().unwrap();
        let Some(MemberRights::Down(socket)) = standing.take() else { panic!("it is up") };
        *standing = Some(MemberRights::Up(tokio::spawn(self.clone().serve(socket.listen(1024).unwrap()))));
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            self.state.lock().unwrap().connections += 1;
            let server = self.clone();
            // A client that hangs up ends the conversation.
            tokio::spawn(async move { server.converse(stream).await.ok() });
        }
    }

    /// Ends the connections that wait for a command.
    pub fn hang_up(&self, farewell: Farewell) {
        self.farewell.send_replace(farewell);
    }

    /// Answers the next mails to an address so.
    pub fn reply(&self, address: &str, replies: impl IntoIterator<Item = Reply>) {
        self.state.lock().unwrap().replies.entry(address.to_owned()).or_default().extend(replies);
    }

    /// Does this in every conversation until it is mended.
    pub fn fail(&self, stage: Stage, act: Act) {
        self.state.lock().unwrap().fault = Some((stage, act));
    }

    /// Does this in one conversation.
    pub fn fail_once(&self, stage: Stage, act: Act) {
        self.state.lock().unwrap().next_fault = Some((stage, act));
    }

    pub fn mend(&self) {
        self.state.lock().unwrap().fault = None;
    }

    /// Offers STARTTLS, and answers it so; no TLS follows.
    pub fn offer_starttls(&self, answer: Option<&'static str>) {
        self.state.lock().unwrap().starttls = answer;
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// In how many conversations the server has fallen silent.
    pub fn hung(&self) -> usize {
        self.state.lock().unwrap().hung
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

    /// What is done at a stage instead of what is usual.
    fn act(&self, stage: Stage, reply: Reply) -> Option<Act> {
        let mut state = self.state.lock().unwrap();
        let here = |fault: Option<(Stage, Act)>| fault.filter(|(at, _)| *at == stage).map(|(_, act)| act);
        let (next, usual) = (here(state.next_fault), here(reply.fault()).or_else(|| here(state.fault)));
        let act = usual.or(next);
        if usual.is_none() && next.is_some() {
            state.next_fault = None;
        }
        state.hung += usize::from(matches!(act, Some(Act::Hang)));
        act
    }

    async fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut farewell = self.farewell.subscribe();
        let (reader, writer) = stream.into_split();
        let mut client = Client { lines: BufReader::new(reader).lines(), writer };
        // A recipient, and what is done with the mail.
        let mut recipient: Option<(String, Reply)> = None;
        if !client.answer(self.act(Stage::Greeting, Reply::Accept), "220 test ESMTP").await? {
            return Ok(());
        }
        loop {
            let line = tokio::select! {
                line = client.lines.next_line() => line?,
                _ = farewell.changed() => {
                    if *farewell.borrow() == Farewell::Said {
                        client.say("421 4.4.2 Closing after a rest").await?;
                    }
                    return Ok(());
                }
            };
            let Some(line) = line else { return Ok(()) };
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let reply = recipient.as_ref().map_or(Reply::Accept, |(_, reply)| *reply);
            let (act, usual) = match verb.as_str() {
                "EHLO" if self.state.lock().unwrap().starttls.is_some() => (None, "250-test\r\n250 STARTTLS"),
                "EHLO" => (None, "250-test\r\n250-8BITMIME\r\n250 SMTPUTF8"),
                "HELO" | "NOOP" | "RSET" => (None, "250 OK"),
                "STARTTLS" => {
                    let answer = self.state.lock().unwrap().starttls.unwrap_or("502 Not known");
                    client.say(answer).await?;
                    if answer.starts_with('2') {
                        return Ok(());
                    }
                    continue;
                }
                "MAIL" => {
                    recipient = None;
                    (self.act(Stage::Sender, Reply::Accept), "250 OK")
                }
                "RCPT" => {
                    let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).unwrap_or_default().0;
                    let reply = self.next_reply(address);
                    recipient = Some((address.to_owned(), reply));
                    (self.act(Stage::Recipient, reply), "250 OK")
                }
                "DATA" if recipient.is_none() => (None, "503 No recipient"),
                "DATA" => {
                    let act = self.act(Stage::Data, reply);
                    if !client.answer(act, "354 Go on").await? {
                        return Ok(());
                    }
                    if act.is_some() {
                        continue;
                    }
                    let Some(data) = client.data().await? else { return Ok(()) };
                    let act = self.act(Stage::End, reply);
                    if !matches!(act, Some(Act::Answer(answer)) if !answer.starts_with('2'))
                        && let Some((address, _)) = recipient.take()
                    {
                        let mut state = self.state.lock().unwrap();
                        state.mails.push(Mail::parse(&address, &data));
                        self.arrived.send_replace(state.mails.len());
                    }
                    (act, "250 Queued")
                }
                "QUIT" => return client.say("221 Bye").await,
                _ => (None, "502 Not known"),
            };
            if !client.answer(act, usual).await? {
                return Ok(());
            }
        }
    }
}

/// Bound, so that nobody else gets the port.
fn socket(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    socket
}

struct Client {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Client {
    async fn say(&mut self, answer: &str) -> std::io::Result<()> {
        self.writer.write_all(format!("{answer}\r\n").as_bytes()).await
    }

    /// Returns whether the conversation goes on.
    async fn answer(&mut self, act: Option<Act>, usual: &str) -> std::io::Result<bool> {
        match act {
            None => self.say(usual).await.map(|()| true),
            Some(Act::Answer(answer)) => self.say(answer).await.map(|()| !answer.starts_with("421")),
            Some(Act::Close) => Ok(false),
            Some(Act::Hang) => {
                while self.lines.next_line().await?.is_some() {}
                Ok(false)
            }
        }
    }

    /// A mail up to its last dot; `None` where the client hangs up before.
    async fn data(&mut self) -> std::io::Result<Option<String>> {
        let mut data = String::new();
        loop {
            let Some(line) = self.lines.next_line().await? else { return Ok(None) };
            if line == "." {
                return Ok(Some(data));
            }
            data.push_str(line.strip_prefix('.').unwrap_or(&line));
            data.push_str("\r\n");
        }
    }
}
