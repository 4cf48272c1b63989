//! Processes that are killed.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use apalis_diesel::admin::JobStatus;
use apalis_diesel::enqueue;
use diesel::QueryResult;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use futures_util::StreamExt;
use rand::rngs::StdRng;
use rand::seq::IndexedMutRandom;
use rand::{RngExt, SeedableRng};
use rollcall_builtin_postgres::{BuiltinPostgres, Options};
use tokio::sync::watch;
use uuid::Uuid;

use super::process::{Deadly, Event, Process, Script, Step};
use super::scene::Scene;
use crate::support::{folder, soon};

/// A job that takes some milliseconds, before and after its commit. Every other one leaves its end to the
/// acknowledgement.
fn some_script(random: &mut StdRng) -> Script {
    let commit = if random.random() { Step::Complete } else { Step::Commit };
    Script::new([Step::Pause(random.random_range(0..8)), commit, Step::Pause(random.random_range(0..4))])
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_killed_at_random_lose_no_job_and_repeat_no_effect() {
    let repeated: usize = futures_util::stream::iter(1..=10)
        .map(|seed| async move {
            // Each a task of its own, as migrations block theirs.
            tokio::spawn(kill_workers(seed)).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"))
        })
        .buffer_unordered(4)
        .fold(0, async |sum, repeated| sum + repeated)
        .await;
    assert!(repeated > 0, "no job was hit");
}

/// Kills one of two workers four times, at random instants during 2,000 jobs. Returns how many runs had to be repeated.
async fn kill_workers(seed: u64) -> usize {
    const JOBS: i64 = 2_000;
    const KILLS: usize = 4;
    let mut random = StdRng::seed_from_u64(seed);
    let scene = Scene::new().await;
    let scripts: Vec<Script> = (0..JOBS).map(|_| some_script(&mut random)).collect();
    scene.enqueue_scripts(&scripts).await;
    let mut workers = [scene.start("0"), scene.start("1")];
    let mut killed = HashSet::new();
    let mut progress: Vec<i64> = (0..KILLS).map(|_| random.random_range(0..JOBS - 200)).collect();
    progress.sort_unstable();
    for (kill, progress) in progress.into_iter().enumerate() {
        let effects = "SELECT count(*) AS value FROM effects";
        scene.until_some_number(effects, |effects| effects >= progress).await;
        tokio::time::sleep(Duration::from_micros(random.random_range(0..50_000))).await;
        let victim = workers.choose_mut(&mut random).unwrap();
        victim.kill().await;
        killed.insert(victim.worker.clone());
        *victim = scene.start(&format!("{}", kill + 2));
    }
    scene.until_all_finished().await;
    for worker in workers {
        worker.shut_down().await;
    }

    let record = scene.record().await;
    assert_eq!(record.jobs.len(), scripts.len());
    record.assert_done_once(|run| killed.contains(&run.worker));
    // An attempt counts only where a job ran alone, and that is one job for each kill.
    let counted: i32 = record.jobs.iter().map(|job| job.attempt - job.uncounted_attempts - 1).sum();
    assert!(counted <= i32::try_from(KILLS).unwrap(), "{counted} attempts lost");
    record.repeated()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_process_is_given_up_and_takes_no_other_with_it() {
    let scene = Scene::new().await;
    let innocent = vec![Script::new([Step::Pause(5), Step::Complete]); 100];
    scene.enqueue_scripts(&innocent).await;
    let deadly = scene.enqueue(&Deadly {}).await.unwrap();
    scene.enqueue_scripts(&innocent).await;

    let supervise = |slot: &'static str| {
        let scene = &scene;
        async move {
            for life in 1.. {
                scene.start(&format!("{slot}{life}")).ended().await;
            }
        }
    };
    tokio::select! {
        () = supervise("a") => {}
        () = supervise("b") => {}
        () = scene.until_all_finished() => {}
    }
    let job = scene.job(deadly).await;
    // The first time it ran beside others, so it may not have been the culprit.
    assert_eq!((job.status, job.attempt, job.uncounted_attempts, job.max_attempts), (JobStatus::GivenUp, 4, 1, 3));
    assert!(job.last_error.unwrap().starts_with("its lease ran out"));
    let record = scene.record().await;
    assert_eq!(record.jobs.len(), 201);
    let killed: HashSet<&str> = (1..=4).map(|attempt| record.runs[&(deadly, attempt)].worker.as_str()).collect();
    assert_eq!(killed.len(), 4);
    record.assert_done_once(|run| killed.contains(run.worker.as_str()));
    for job in record.jobs.iter().filter(|job| job.id != deadly) {
        assert_eq!(job.attempt - job.uncounted_attempts, 1, "lost an attempt: {job:?}");
        assert!(job.attempt <= 2, "ran beside a suspect: {job:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn enqueuers_and_workers_survive_a_database_that_is_killed() {
    const KILLS: usize = 4;
    let data = folder().join("jobs-killed");
    // With fsync: a commit that was reported must be there after the crash.
    let start_server = || {
        let data = data.clone();
        tokio::task::spawn_blocking(move || Arc::new(BuiltinPostgres::start(&data, Options { fsync: true }).unwrap()))
    };
    let scene = Scene::of(start_server().await.unwrap()).await;
    scene.sql("CREATE TABLE markers (job_id uuid NOT NULL)").await;
    let start_worker = |worker| {
        let mut settings = scene.settings(worker);
        // Longer than the database is away: nobody but the database dies here.
        settings.lease = Duration::from_secs(12);
        Process::start(&settings, &[])
    };
    let mut workers = [start_worker("a"), start_worker("b")];
    let (enough, stop) = watch::channel(false);
    let enqueuers: Vec<_> = [1, 2]
        .map(|seed| {
            let (url, wake, stop) = (scene.url.clone(), scene.wake(), stop.clone());
            tokio::spawn(async move {
                let mut random = StdRng::seed_from_u64(seed);
                let mut enqueued = Vec::new();
                let mut connection = connect(&url).await;
                while !*stop.borrow() {
                    match enqueue_with_marker(&mut connection, &some_script(&mut random)).await {
                        Ok(id) => enqueued.push(id),
                        Err(_) => connection = connect(&url).await,
                    }
                    wake.wake();
                    tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
                }
                enqueued
            })
        })
        .into();

    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..KILLS {
        tokio::time::sleep(Duration::from_micros(random.random_range(500_000..1_500_000))).await;
        kill_server(&scene).await;
        start_server().await.unwrap();
    }
    enough.send(true).unwrap();
    let mut enqueued = Vec::new();
    for enqueuer in enqueuers {
        enqueued.extend(soon(enqueuer).await.unwrap());
    }
    scene.until_all_finished().await;
    for worker in &mut workers {
        assert!(worker.lives(), "it goes on by itself");
    }
    for worker in workers {
        worker.shut_down().await;
    }

    let unmatched = "SELECT count(*) AS value FROM jobs FULL JOIN markers ON job_id = id
        WHERE id IS NULL OR job_id IS NULL";
    assert_eq!(scene.number(unmatched).await, 0, "a job without its transaction, or a transaction without its job");
    let record = scene.record().await;
    let jobs: HashSet<Uuid> = record.jobs.iter().map(|job| job.id).collect();
    assert!(enqueued.iter().all(|id| jobs.contains(id)), "a commit that was reported is gone");
    // Where COMMIT got no answer, the handler can't know whether its effect is there.
    record.assert_done_once(|run| run.ending == Some(Event::Failed));
    assert!(record.repeated() > 0, "no job was hit");
}

/// Connects as soon as there is something to connect to.
async fn connect(url: &str) -> AsyncPgConnection {
    loop {
        match AsyncPgConnection::establish(url).await {
            Ok(connection) => return connection,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Enqueues a job in a transaction that also writes a marker. After an error, only the marker tells whether it
/// committed.
async fn enqueue_with_marker(connection: &mut AsyncPgConnection, script: &Script) -> QueryResult<Uuid> {
    connection
        .transaction(async |connection| {
            let id = enqueue(connection, script).await?.unwrap();
            diesel::sql_query(format!("INSERT INTO markers VALUES ('{id}')")).execute(connection).await?;
            Ok(id)
        })
        .await
}

/// Kills PostgreSQL and all of its children.
async fn kill_server(scene: &Scene) {
    let pid = r"SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)::bigint AS value";
    let postmaster = scene.number(pid).await.to_string();
    // So that it makes no more children, which could live on and keep the next server from starting.
    signal("-STOP", std::slice::from_ref(&postmaster)).await;
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        // Processes come and go meanwhile.
        let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
        // The name stands in brackets; state and parent follow.
        if stat.rsplit(')').next().unwrap().split_whitespace().nth(1) == Some(&postmaster) {
            pids.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    pids.push(postmaster);
    signal("-KILL", &pids).await;
    // Until its socket is closed, it looks as if it lived. Up to then nobody answers.
    assert!(AsyncPgConnection::establish(&scene.url).await.is_err());
}

async fn signal(signal: &str, pids: &[String]) {
    // Some may have ended meanwhile.
    tokio::process::Command::new("kill").arg(signal).args(pids).output().await.unwrap();
}
