use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apalis::layers::WorkerBuilderExt;
use apalis_core::error::BoxDynError;
use apalis_core::monitor::Monitor;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_diesel::admin::JobStatus;
use apalis_diesel::{ClaimedJob, Job, JobError, JobStore, StoreOptions, enqueue_all, enqueue_at};
use chrono::{TimeDelta, Utc};
use diesel_async::AsyncConnection;
use serde::{Deserialize, Serialize};
use tokio::sync::{Barrier, mpsc};

use crate::support::{Brief, Database, Note, Urgent, Worker, soon};

/// Fails as often as told, with a pause of its own or none.
async fn note(job: ClaimedJob) -> Result<(), JobError> {
    match job.kind.as_str() {
        Note::KIND => match job.decode::<Note>()?.text.as_str() {
            "fail" => Err(JobError::retry("as told")),
            "fail at once" => Err(JobError::retry_after("as told", Duration::ZERO)),
            "discard" => Err(JobError::discard("not wanted")),
            "put off" if job.attempt < 5 => Err(JobError::postpone(Duration::from_secs(3_600))),
            "panic" => panic!("at the {}", "disco"),
            _ => Ok(()),
        },
        Brief::KIND => std::future::pending().await,
        _ => Err(job.unknown_kind()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_done() {
    let database = Database::new().await;
    let worker = Worker::start(&database, StoreOptions::default(), 2, note);
    let id = database.enqueue(&Note::new("")).await.unwrap();
    database.wake().wake();
    let job = database.until_status(id, JobStatus::Done).await;
    assert_eq!((job.attempt, job.uncounted_attempts, job.last_error), (1, 0, None));
    assert!(job.started_at.is_some() && job.finished_at.is_some() && job.worker.is_some());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_waits_longer_each_time_and_is_given_up_in_the_end() {
    let database = Database::new().await;
    let worker = Worker::start(&database, StoreOptions::default(), 2, note);
    let id = database.enqueue(&Note::new("fail")).await.unwrap();
    for attempt in 1..=2 {
        let job = database.until(id, |job| job.status == JobStatus::Waiting && job.attempt == attempt).await;
        assert_eq!(job.last_error.as_deref(), Some("as told"));
        assert_eq!(job.worker, None);
        let pause = (job.run_at - job.started_at.unwrap()).as_seconds_f64();
        let usual = 2.0_f64.powi(attempt);
        assert!(pause >= 0.75 * usual, "{pause} seconds after attempt {attempt}");
        database.put_clock_ahead("10 seconds").await;
    }
    let job = database.until_status(id, JobStatus::GivenUp).await;
    assert_eq!((job.attempt, job.last_error.as_deref()), (3, Some("as told")));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_can_choose_the_pause_or_none_and_discard() {
    let database = Database::new().await;
    let worker = Worker::start(&database, StoreOptions::default(), 2, note);
    let at_once = database.enqueue(&Note::new("fail at once")).await.unwrap();
    let discarded = database.enqueue(&Note::new("discard")).await.unwrap();
    assert_eq!(database.until_status(at_once, JobStatus::GivenUp).await.attempt, 3);
    let job = database.until_status(discarded, JobStatus::GivenUp).await;
    assert_eq!((job.attempt, job.last_error.as_deref()), (1, Some("not wanted")));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn putting_a_job_off_uses_up_no_attempt() {
    let database = Database::new().await;
    let worker = Worker::start(&database, StoreOptions::default(), 2, note);
    let id = database.enqueue(&Note::new("put off")).await.unwrap();
    for attempt in 1..5 {
        let job = database.until(id, |job| job.status == JobStatus::Waiting && job.attempt == attempt).await;
        assert_eq!((job.uncounted_attempts, job.last_error), (attempt, None));
        assert!((job.run_at - job.started_at.unwrap()).as_seconds_f64() >= 3_600.0);
        database.put_clock_ahead("61 minutes").await;
    }
    // More often than it may fail.
    assert_eq!(database.until_status(id, JobStatus::Done).await.attempt, 5);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_is_an_outcome_and_the_worker_goes_on() {
    #[derive(Serialize, Deserialize)]
    struct Stranger {}
    impl Job for Stranger {
        const QUEUE: &'static str = Note::QUEUE;
        const KIND: &'static str = "stranger";
    }
    #[derive(Serialize, Deserialize)]
    struct Malformed(u8);
    impl Job for Malformed {
        const QUEUE: &'static str = Note::QUEUE;
        const KIND: &'static str = Note::KIND;
    }

    let database = Database::new().await;
    let worker = Worker::start(&database, StoreOptions::default(), 1, note);
    let panicking = database.enqueue(&Note::new("panic")).await.unwrap();
    let unknown = database.enqueue(&Stranger {}).await.unwrap();
    let malformed = database.enqueue(&Malformed(1)).await.unwrap();
    let endless = database.enqueue(&Brief {}).await.unwrap();
    let innocent = database.enqueue(&Note::new("")).await.unwrap();

    database.until_status(innocent, JobStatus::Done).await;
    let failed = |job: &apalis_diesel::admin::JobRecord| job.last_error.is_some();
    let job = database.until(panicking, failed).await;
    assert_eq!((job.status, job.last_error.as_deref()), (JobStatus::Waiting, Some("panicked: at the disco")));
    let job = database.until(unknown, failed).await;
    let reason = "no handler for the kind \"stranger\" in the queue \"notes\"";
    assert_eq!((job.status, job.last_error.as_deref()), (JobStatus::Waiting, Some(reason)));
    let job = database.until(malformed, failed).await;
    assert_eq!(job.status, JobStatus::Waiting);
    assert!(job.last_error.unwrap().starts_with("the payload of a job of kind \"note\" can't be decoded: "));
    let job = database.until(endless, failed).await;
    assert_eq!((job.status, job.last_error.as_deref()), (JobStatus::GivenUp, Some("timed out")));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_job_waits_for_its_time() {
    let database = Database::new().await;
    let (started, mut starts) = mpsc::unbounded_channel();
    let worker = Worker::start(&database, StoreOptions::default(), 1, move |job: ClaimedJob| {
        started.send(job.decode::<Note>().unwrap().text).unwrap();
        async { Ok(()) }
    });
    let connection = &mut database.connection().await;
    enqueue_at(connection, &Note::new("in an hour"), Utc::now() + TimeDelta::hours(1)).await.unwrap();
    let soon_due = Utc::now() + TimeDelta::milliseconds(300);
    let id = enqueue_at(connection, &Note::new("soon"), soon_due).await.unwrap().unwrap();
    assert_eq!(soon(starts.recv()).await.unwrap(), "soon");
    let job = database.until_status(id, JobStatus::Done).await;
    assert!(job.started_at.unwrap() >= job.run_at);
    database.put_clock_ahead("2 hours").await;
    assert_eq!(soon(starts.recv()).await.unwrap(), "in an hour");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn higher_priorities_go_first_then_those_that_are_due_longest() {
    let database = Database::new().await;
    for text in ["1", "2"] {
        database.enqueue(&Note::new(text)).await.unwrap();
    }
    database.enqueue(&Urgent {}).await.unwrap();
    let (started, mut starts) = mpsc::unbounded_channel();
    let worker = Worker::start(&database, StoreOptions::default(), 1, move |job: ClaimedJob| {
        started.send(job.decode::<Note>().map_or(job.kind, |note| note.text)).unwrap();
        async { Ok(()) }
    });
    for expected in ["urgent", "1", "2"] {
        assert_eq!(soon(starts.recv()).await.unwrap(), expected);
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_handlers_run_than_allowed() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    enqueue_all(connection, &vec![Note::new(""); 60]).await.unwrap();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let worker = Worker::start(&database, StoreOptions::default(), 3, move |_| {
        let (running, most) = (running.clone(), most.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    });
    database.until_number("SELECT count(*) AS value FROM jobs WHERE status = 'done'", 60).await;
    assert!(seen.as_ref().load(Ordering::SeqCst) <= 3);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_go_in_batches() {
    let database = Database::new().await;
    database
        .sql(
            "CREATE TABLE acknowledgements (rows bigint);
             CREATE FUNCTION count_done() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO acknowledgements SELECT count(*) FROM new WHERE status = 'done' HAVING count(*) > 0;
                 RETURN NULL; END $$;
             CREATE TRIGGER count_done AFTER UPDATE ON jobs REFERENCING NEW TABLE AS new
                 FOR EACH STATEMENT EXECUTE FUNCTION count_done()",
        )
        .await;
    enqueue_all(&database.connection().await, &vec![Note::new(""); 200]).await.unwrap();
    let all = Arc::new(Barrier::new(200));
    let worker = Worker::start(&database, StoreOptions::default(), 200, move |_| {
        let all = all.clone();
        async move {
            all.wait().await;
            Ok(())
        }
    });
    database.until_number("SELECT count(*) AS value FROM jobs WHERE status = 'done'", 200).await;
    let statements = database.number("SELECT count(*) AS value FROM acknowledgements").await;
    assert!(statements <= 50, "{statements} statements for 200 jobs");
    assert_eq!(database.number("SELECT sum(rows)::bigint AS value FROM acknowledgements").await, 200);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_jobs_that_wait_for_a_retry_one_keeps_the_unique_key() {
    let database = Database::new().await;
    let (started, mut starts) = mpsc::unbounded_channel();
    let (fail, failures) = tokio::sync::watch::channel(false);
    let worker = Worker::start(&database, StoreOptions::default(), 1, move |_| {
        let (started, mut failures) = (started.clone(), failures.clone());
        async move {
            started.send(()).unwrap();
            failures.wait_for(|fail| *fail).await.unwrap();
            Err(JobError::retry_after("as told", Duration::from_secs(3600)))
        }
    });
    let first = database.enqueue(&Note::unique("key")).await.unwrap();
    soon(starts.recv()).await.unwrap();
    let second = database.enqueue(&Note::unique("key")).await.unwrap();
    fail.send(true).unwrap();
    let failed = |job: &apalis_diesel::admin::JobRecord| job.last_error.is_some();
    let mut keys = Vec::new();
    for id in [first, second] {
        let job = database.until(id, failed).await;
        assert_eq!(job.status, JobStatus::Waiting);
        keys.extend(job.unique_key);
    }
    assert_eq!(keys, ["key"]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_completed_in_its_transaction_is_done_whatever_follows() {
    let database = Database::new().await;
    let pool = database.pool.clone();
    let worker = Worker::start(&database, StoreOptions::default(), 1, move |job: ClaimedJob| {
        let pool = pool.clone();
        async move {
            let mut connection = pool.get().await?;
            connection
                .transaction::<_, JobError, _>(async |connection| {
                    job.hold(connection).await?;
                    job.complete(connection).await
                })
                .await?;
            assert_eq!(job.hold(&mut connection).await, Err(JobError::Lost));
            Err(JobError::retry("too late"))
        }
    });
    let id = database.enqueue(&Note::new("")).await.unwrap();
    let job = database.until_status(id, JobStatus::Done).await;
    worker.stop().await;
    assert_eq!(database.job(id).await, job);
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_tower_and_apalis_work_on_it() {
    let database = Database::new().await;
    let store = JobStore::start(&database.url, StoreOptions::default()).unwrap();
    let queues = store.clone();
    let monitor = Monitor::new().register(move |_| {
        WorkerBuilder::new("notes")
            .backend(queues.queue(Note::QUEUE, 10))
            .enable_tracing()
            .catch_panic()
            .concurrency(5)
            .rate_limit(1_000, Duration::from_secs(1))
            .timeout(Duration::from_millis(100))
            .data(String::from("shared"))
            .build(async |job: ClaimedJob, shared: apalis_core::task::data::Data<String>| {
                assert_eq!(*shared, "shared");
                match job.decode::<Note>()?.text.as_str() {
                    "slow" => std::future::pending().await,
                    "panic" => panic!("caught by the layer"),
                    _ => Ok::<_, BoxDynError>(()),
                }
            })
    });
    let worker = Worker::monitor(store, monitor);
    let slow = database.enqueue(&Note::new("slow")).await.unwrap();
    let panicking = database.enqueue(&Note::new("panic")).await.unwrap();
    let fine = database.enqueue(&Note::new("fine")).await.unwrap();
    database.until_status(fine, JobStatus::Done).await;
    let slow = database.until(slow, |job| job.last_error.is_some()).await;
    assert_eq!((slow.status, slow.last_error.as_deref()), (JobStatus::Waiting, Some("request timed out")));
    // That layer's error says that the job is to be aborted.
    let panicking = database.until(panicking, |job| job.last_error.is_some()).await;
    assert_eq!(panicking.status, JobStatus::GivenUp);
    assert!(panicking.last_error.unwrap().contains("caught by the layer"));
    worker.stop().await;
}
