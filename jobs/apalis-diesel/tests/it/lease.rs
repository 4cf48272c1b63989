use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apalis_diesel::admin::JobStatus;
use apalis_diesel::{ClaimedJob, JobError, StoreOptions, enqueue, enqueue_all};
use diesel_async::AsyncConnection;
use tokio::sync::{mpsc, watch};

use crate::support::{Brief, Database, Note, Worker, lively, soon, stalled};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_claim_can_neither_commit_nor_acknowledge() {
    let database = Database::new().await;
    database.sql("CREATE TABLE effects (attempt integer)").await;
    let id = database.enqueue(&Note::new("")).await.unwrap();

    let (started, mut starts) = mpsc::unbounded_channel();
    let (release, released) = watch::channel(false);
    let (ended, mut ends) = mpsc::unbounded_channel();
    let pool = database.pool.clone();
    let slow = Worker::start(&database, stalled(), 1, move |job: ClaimedJob| {
        let (pool, started, ended, mut released) = (pool.clone(), started.clone(), ended.clone(), released.clone());
        async move {
            started.send(()).unwrap();
            released.wait_for(|released| *released).await.unwrap();
            let held = commit_effect(&pool, &job).await;
            ended.send(held).unwrap();
            // As if nothing had been lost.
            Ok(())
        }
    });
    soon(starts.recv()).await.unwrap();
    database.sql("UPDATE jobs SET lease_expires_at = job_clock() - interval '1 second'").await;

    let pool = database.pool.clone();
    let other = Worker::start(&database, lively(), 1, move |job: ClaimedJob| {
        let pool = pool.clone();
        async move {
            commit_effect(&pool, &job).await?;
            Err(JobError::retry_after("once more", Duration::from_secs(3600)))
        }
    });
    let taken_over = database.until(id, |job| job.attempt == 2 && job.status == JobStatus::Waiting).await;
    release.send(true).unwrap();
    assert_eq!(soon(ends.recv()).await.unwrap(), Err(JobError::Lost));
    slow.stop().await;
    other.stop().await;
    assert_eq!(database.job(id).await, taken_over);
    assert_eq!(database.number("SELECT sum(attempt)::bigint AS value FROM effects").await, 2);
}

async fn commit_effect(
    pool: &diesel_async::pooled_connection::deadpool::Pool<diesel_async::AsyncPgConnection>,
    job: &ClaimedJob,
) -> Result<(), JobError> {
    let mut connection = pool.get().await?;
    connection
        .transaction(async |connection| {
            job.hold(connection).await?;
            let effect = format!("INSERT INTO effects VALUES ({})", job.attempt);
            diesel_async::RunQueryDsl::execute(diesel::sql_query(effect), connection).await?;
            Ok(())
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_job_is_not_taken_over_but_its_lease_can_be_extended() {
    let database = Database::new().await;
    let id = database.enqueue(&Note::new("")).await.unwrap();
    let (held, mut holds) = mpsc::unbounded_channel();
    let (release, released) = watch::channel(false);
    let pool = database.pool.clone();
    let worker = Worker::start(&database, lively(), 1, move |job: ClaimedJob| {
        let (pool, held, mut released) = (pool.clone(), held.clone(), released.clone());
        async move {
            let mut connection = pool.get().await?;
            connection
                .transaction(async |connection| {
                    job.hold(connection).await?;
                    held.send(()).unwrap();
                    released.wait_for(|released| *released).await.unwrap();
                    Ok(())
                })
                .await
        }
    });
    soon(holds.recv()).await.unwrap();
    let free = "SELECT count(*) AS value FROM (SELECT FROM jobs FOR UPDATE SKIP LOCKED) AS jobs";
    assert_eq!(database.number(free).await, 0);
    let lease = database.job(id).await.lease_expires_at;
    let job = database.until(id, |job| job.lease_expires_at > lease).await;
    assert_eq!((job.status, job.attempt), (JobStatus::Running, 1));
    release.send(true).unwrap();
    database.until_status(id, JobStatus::Done).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_lease_ran_out_run_alone_and_lose_no_attempt() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    let lapsed = enqueue_all(connection, &vec![Note::new("lapsed"); 5]).await.unwrap();
    for id in lapsed.iter().flatten() {
        database.let_lease_run_out(*id).await;
    }
    let others = enqueue_all(connection, &vec![Note::new("other"); 50]).await.unwrap();

    let running = Arc::new(AtomicUsize::new(0));
    let worker = Worker::start(&database, lively(), 8, move |job: ClaimedJob| {
        let running = running.clone();
        async move {
            let alone = job.decode::<Note>()?.text == "lapsed";
            let before = running.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
            let after = running.fetch_sub(1, Ordering::SeqCst);
            if alone && (before > 0 || after > 1) {
                return Err(JobError::discard("not alone"));
            }
            Ok(())
        }
    });
    database.until_number("SELECT count(*) AS value FROM jobs WHERE finished_at IS NOT NULL", 55).await;
    for id in lapsed.into_iter().flatten() {
        let job = database.job(id).await;
        assert_eq!((job.status, job.attempt, job.uncounted_attempts), (JobStatus::Done, 2, 1), "{job:?}");
    }
    for id in others.into_iter().flatten() {
        let job = database.job(id).await;
        assert_eq!((job.status, job.attempt, job.uncounted_attempts), (JobStatus::Done, 1, 0), "{job:?}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_must_run_alone_gets_its_turn_though_there_is_no_end_of_others() {
    let database = Database::new().await;
    let id = database.enqueue(&Note::new("lapsed")).await.unwrap();
    database.let_lease_run_out(id).await;
    enqueue_all(&database.connection().await, &vec![Note::new("other"); 4]).await.unwrap();
    let pool = database.pool.clone();
    let worker = Worker::start(&database, lively(), 2, move |job: ClaimedJob| {
        let pool = pool.clone();
        async move {
            if job.id != id {
                let connection = pool.get().await?;
                enqueue(&connection, &Note::new("other")).await?;
            }
            Ok(())
        }
    });
    database.until_status(id, JobStatus::Done).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ends_its_process_each_time_is_given_up_at_its_limit() {
    let database = Database::new().await;
    let id = database.enqueue(&Note::unique("key")).await.unwrap();
    // Nothing serves the queue: this store only frees what lapses.
    let sweeper = Worker::monitor(
        apalis_diesel::JobStore::start(&database.url, lively()).unwrap(),
        apalis_core::monitor::Monitor::new(),
    );
    for attempt in 1..=3 {
        database.let_lease_run_out(id).await;
        let job = database.until(id, |job| job.status != JobStatus::Running).await;
        assert_eq!((job.status, job.attempt, job.uncounted_attempts), (JobStatus::Waiting, attempt, 1));
        assert!(job.alone);
    }
    database.let_lease_run_out(id).await;
    let job = database.until_status(id, JobStatus::GivenUp).await;
    assert_eq!((job.attempt, job.uncounted_attempts, job.max_attempts), (4, 1, 3));
    assert!(job.last_error.unwrap().starts_with("its lease ran out"));
    sweeper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_blocks_its_thread_keeps_its_lease_but_not_beyond_its_timeout() {
    let database = Database::new().await;
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    let worker = Worker::start(&database, lively(), 1, move |_| {
        let released = released.clone();
        async move {
            released.lock().unwrap().recv().unwrap();
            Ok(())
        }
    });
    let id = database.enqueue(&Brief {}).await.unwrap();
    let job = database.until_status(id, JobStatus::Running).await;
    // The timeout is 100 ms, and 5 s more are there for the acknowledgement.
    let limit = chrono::TimeDelta::milliseconds(5_100);
    let extended = database
        .until(id, |job| job.lease_expires_at.is_none_or(|lease| lease <= job.started_at.unwrap() + limit))
        .await;
    assert_eq!(extended.lease_expires_at.unwrap(), job.started_at.unwrap() + limit);
    assert_eq!(database.job(id).await.status, JobStatus::Running);
    release.send(()).unwrap();
    database.until_status(id, JobStatus::Done).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_handler_is_stopped() {
    let database = Database::new().await;
    let (started, mut starts) = mpsc::unbounded_channel();
    let worker = Worker::start(&database, lively(), 1, move |job: ClaimedJob| {
        let started = started.clone();
        async move {
            started.send(()).unwrap();
            if job.attempt == 1 { std::future::pending().await } else { Ok(()) }
        }
    });
    let id = database.enqueue(&Note::new("")).await.unwrap();
    soon(starts.recv()).await.unwrap();
    // Somebody takes it away.
    database.sql("UPDATE jobs SET status = 'waiting', lease_expires_at = NULL").await;
    // The only slot becomes free again.
    soon(starts.recv()).await.unwrap();
    assert_eq!(database.until_status(id, JobStatus::Done).await.attempt, 2);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wake_ups_are_heard_again_after_the_listener_was_cut_off() {
    let database = Database::new().await;
    let mut options = StoreOptions::default();
    options.look = Duration::from_secs(3600);
    let worker = Worker::start(&database, options, 1, |_| async { Ok(()) });
    let wake = database.wake();
    let first = database.enqueue(&Note::new("")).await.unwrap();
    wake.wake();
    database.until_status(first, JobStatus::Done).await;

    let listening = "FROM pg_stat_activity WHERE application_name = 'apalis-diesel listen' AND query LIKE 'LISTEN%'
        AND state = 'idle' AND datname = current_database()";
    let before = database.number(&format!("SELECT pid::bigint AS value {listening}")).await;
    database.sql(&format!("SELECT pg_terminate_backend({before})")).await;
    database.until_number(&format!("SELECT count(*) AS value {listening} AND pid <> {before}"), 1).await;
    let second = database.enqueue(&Note::new("")).await.unwrap();
    wake.wake();
    database.until_status(second, JobStatus::Done).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_survives_the_loss_of_all_its_connections() {
    let database = Database::new().await;
    let (started, mut starts) = mpsc::unbounded_channel();
    let (release, released) = watch::channel(false);
    let worker = Worker::start(&database, lively(), 2, move |_| {
        let (started, mut released) = (started.clone(), released.clone());
        async move {
            started.send(()).unwrap();
            released.wait_for(|released| *released).await.unwrap();
            Ok(())
        }
    });
    let first = database.enqueue(&Note::new("")).await.unwrap();
    soon(starts.recv()).await.unwrap();
    // As when the server restarts: connections end, and for a while there are no new ones.
    let name = database.name();
    let execute = async |sql: String| {
        let mut server = database.server().await;
        diesel_async::SimpleAsyncConnection::batch_execute(&mut server, &sql).await.unwrap();
    };
    execute(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
    execute(format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")).await;
    release.send(true).unwrap();
    execute(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    assert_eq!(database.until_status(first, JobStatus::Done).await.attempt, 1);
    let second = database.enqueue(&Note::new("")).await.unwrap();
    database.until_status(second, JobStatus::Done).await;
    worker.stop().await;
}
