//! Bringing in a platform's data from a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use rollcall_domain::base::error::{Code, Refusal};
use rollcall_domain::base::limits;
use rollcall_domain::base::upsert::UpsertOutcome;
use rollcall_domain::database::Database;
use rollcall_domain::upkeep::import::{Batch, Import};
use rollcall_jobs::process;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::jobs::{one_line, print, table};
use crate::graphql::{Forms, Unreadable, code_name};

/// How many bytes of the file are brought in together at most.
const BATCH_BYTES: usize = 4 * limits::BODY;
/// How many lines are read ahead.
const READ_AHEAD: usize = 16;
/// The mark of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// How often the command says how far it is.
const PROGRESS: Duration = Duration::from_secs(2);

/// What to bring in.
#[derive(Args)]
pub struct Arguments {
    /// The file, or - for the standard input. Each line is a JSON object, of at most 1 MiB. Its key "type" is user,
    /// organization, member, team or resource, and its other keys are those of an item of upsertUsers,
    /// upsertOrganizations, upsertMembers, upsertTeams or upsertResources. Members, teams and resources also have the
    /// key "organization".
    file: PathBuf,
    /// Change nothing, and only say what would be brought in and refused. Until it ends, whoever changes the same
    /// accounts or organizations waits, and so does the feed over all organizations.
    #[arg(long)]
    dry_run: bool,
    /// Begin at this line, counted from 1.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from_line: u64,
}

/// A line of the file, or why it can't be read.
type Line = Result<String, &'static str>;

/// Brings in what the file has, line after line. What is refused is said line by line, and doesn't keep the rest from
/// being brought in.
pub async fn run(database: &Database, staff: String, arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { file, dry_run, from_line } = arguments;
    let shutdown = process::shutdown()?;
    let lines = read(file)?;
    let import = match dry_run {
        true => Import::rehearse(database, staff).await?,
        false => Import::new(database, staff),
    };
    let before = from_line - 1;
    let mut work = Work { import, forms: Forms::new(), pending: None, tally: Tally::default(), done: before, read: 0 };
    let outcome = work.run(lines, before, &shutdown).await;
    let Work { import, tally, done, read, .. } = work;
    let ended = import.end().await;
    if outcome.is_err() {
        match dry_run {
            true => eprintln!("stopped at line {read}"),
            false => eprintln!("stopped; everything up to line {done} is done: go on with --from-line {}", done + 1),
        }
    }
    print(&tally.report())?;
    if dry_run {
        print("this was a dry run: nothing was changed\n")?;
    }
    outcome?;
    ended?;
    match tally.refused() {
        _ if read < before => bail!("the file ends at line {read}"),
        0 => Ok(()),
        1 => bail!("1 line was refused"),
        refused => bail!("{refused} lines were refused"),
    }
}

/// Reads lines on a thread of its own, a few ahead, since reading from a pipe may wait for as long as it likes.
fn read(file: PathBuf) -> anyhow::Result<mpsc::Receiver<std::io::Result<Line>>> {
    let source: Box<dyn Read + Send> = match file.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(&file).with_context(|| format!("{} can't be opened", file.display()))?),
    };
    let (send, lines) = mpsc::channel(READ_AHEAD);
    let mut source = BufReader::new(source);
    let read = move || {
        // Some editors begin files so.
        if source.fill_buf().is_ok_and(|start| start.starts_with(BYTE_ORDER_MARK)) {
            source.consume(BYTE_ORDER_MARK.len());
        }
        while let Some(line) = next_line(&mut source).transpose() {
            let is_last = line.is_err();
            if send.blocking_send(line).is_err() || is_last {
                break;
            }
        }
    };
    std::thread::Builder::new().name("lines".to_owned()).spawn(read)?;
    Ok(lines)
}

/// Reads a line without its end. Of one that is too long, no more is kept than there may be of it.
fn next_line(source: &mut impl BufRead) -> std::io::Result<Option<Line>> {
    let mut bytes = Vec::new();
    let limit = limits::BODY as u64 + 1;
    if source.by_ref().take(limit).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.pop_if(|last| *last == b'\n').is_none() && bytes.len() > limits::BODY {
        source.skip_until(b'\n')?;
        return Ok(Some(Err("is longer than 1 MiB")));
    }
    Ok(Some(String::from_utf8(bytes).map_err(|_| "must be text in UTF-8")))
}

/// An import under way.
struct Work {
    import: Import,
    forms: Forms,
    /// What was read and isn't brought in yet.
    pending: Option<Pending>,
    tally: Tally,
    /// The last line that was dealt with, together with all before it.
    done: u64,
    /// The last line that was read.
    read: u64,
}

/// A batch, with the numbers of its lines.
struct Pending {
    batch: Batch,
    lines: Vec<u64>,
    bytes: usize,
}

impl Work {
    /// Deals with all lines but the first ones. Between two batches, it stops where it is told to.
    async fn run(
        &mut self,
        mut lines: mpsc::Receiver<std::io::Result<Line>>,
        skipped: u64,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut said = Instant::now();
        loop {
            let line = tokio::select! {
                biased;
                () = shutdown.cancelled() => bail!("interrupted"),
                line = lines.recv() => line,
            };
            let Some(line) = line else { break };
            let line = line.context("the file can't be read")?;
            self.read += 1;
            if self.read > skipped {
                self.take(line).await?;
            }
            if said.elapsed() >= PROGRESS {
                eprintln!("up to line {}: {}", self.done, self.tally.in_words());
                said = Instant::now();
            }
        }
        self.flush().await?;
        self.done = self.done.max(self.read);
        Ok(())
    }

    /// Takes the line that was just read.
    async fn take(&mut self, line: Line) -> anyhow::Result<()> {
        let number = self.read;
        let text = match line {
            Ok(text) if text.trim().is_empty() => return Ok(()),
            Ok(text) => text,
            Err(message) => {
                self.refuse(number, "", message);
                return Ok(());
            }
        };
        let mut batch = match self.forms.read(&text) {
            Ok(batch) => batch,
            Err(Unreadable { field, message }) => {
                self.refuse(number, &field, &message);
                return Ok(());
            }
        };
        let bytes = text.len();
        if let Some(pending) = self.pending.as_mut().filter(|pending| pending.bytes + bytes <= BATCH_BYTES) {
            match pending.batch.append(batch) {
                Ok(()) => {
                    pending.lines.push(number);
                    pending.bytes += bytes;
                    return Ok(());
                }
                Err(other) => batch = other,
            }
        }
        self.flush().await?;
        self.done = number - 1;
        self.pending = Some(Pending { batch, lines: vec![number], bytes });
        Ok(())
    }

    /// Counts a line that can't be read.
    fn refuse(&mut self, line: u64, field: &str, message: &str) {
        say_refused(line, field, message, Code::Invalid);
        self.tally.of(UNREADABLE).refused += 1;
    }

    /// Brings in what was read.
    async fn flush(&mut self) -> anyhow::Result<()> {
        let Some(Pending { batch, lines, .. }) = self.pending.take() else { return Ok(()) };
        let results = self.import.bring_in(&batch).await?;
        for (line, result) in lines.into_iter().zip(results) {
            match result {
                Ok(outcome) => self.tally.count(batch.kind(), outcome),
                Err(refusals) => {
                    for Refusal { code, field, message } in refusals {
                        say_refused(line, &field.join("."), &message, code);
                    }
                    self.tally.of(batch.kind()).refused += 1;
                }
            }
        }
        Ok(())
    }
}

/// What became of the lines, by the kind of what they bring in.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, Counts>);

#[derive(Default)]
struct Counts {
    created: u64,
    updated: u64,
    unchanged: u64,
    refused: u64,
}

/// The kind of lines that can't be read.
const UNREADABLE: &str = "unreadable";

impl Tally {
    fn of(&mut self, kind: &'static str) -> &mut Counts {
        self.0.entry(kind).or_default()
    }

    fn count(&mut self, kind: &'static str, outcome: UpsertOutcome) {
        let counts = self.of(kind);
        match outcome {
            UpsertOutcome::Created => counts.created += 1,
            UpsertOutcome::Updated => counts.updated += 1,
            UpsertOutcome::Unchanged => counts.unchanged += 1,
        }
    }

    /// The number of lines that were refused.
    fn refused(&self) -> u64 {
        self.0.values().map(|counts| counts.refused).sum()
    }

    fn report(&self) -> String {
        let row = |(kind, counts): (&&str, &Counts)| {
            let numbers = [counts.created, counts.updated, counts.unchanged, counts.refused];
            let [created, updated, unchanged, refused] = numbers.map(|number| number.to_string());
            [(*kind).to_owned(), created, updated, unchanged, refused]
        };
        table(&["KIND", "CREATED", "UPDATED", "UNCHANGED", "REFUSED"], self.0.iter().map(row))
    }

    fn in_words(&self) -> String {
        let sum = |number: fn(&Counts) -> u64| self.0.values().map(number).sum::<u64>();
        let (created, updated) = (sum(|counts| counts.created), sum(|counts| counts.updated));
        let (unchanged, refused) = (sum(|counts| counts.unchanged), sum(|counts| counts.refused));
        format!("{created} created, {updated} updated, {unchanged} unchanged, {refused} refused")
    }
}

fn say_refused(line: u64, field: &str, message: &str, code: Code) {
    let (field, message, code) = (one_line(field), one_line(message), code_name(code));
    match field.as_str() {
        "" => eprintln!("line {line}: {message} ({code})"),
        field => eprintln!("line {line}: {field}: {message} ({code})"),
    }
}
