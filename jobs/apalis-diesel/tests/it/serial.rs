use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use apalis_diesel::{ClaimedJob, JobError, StoreOptions, enqueue_all, enqueue_at};
use chrono::{TimeDelta, Utc};
use tokio::sync::mpsc;

use crate::support::{Database, Note, Worker, soon};

#[tokio::test(flavor = "multi_thread")]
async fn jobs_with_a_serial_key_run_one_at_a_time_and_in_order_across_workers() {
    let database = Database::new().await;
    let notes: Vec<Note> =
        (0..40).map(|number| Note::serial(if number % 2 == 0 { "even" } else { "odd" }, &number.to_string())).collect();
    enqueue_all(&database.connection().await, &notes).await.unwrap();

    let (started, mut starts) = mpsc::unbounded_channel();
    let running = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let handler = move |job: ClaimedJob| {
        let (started, running) = (started.clone(), running.clone());
        async move {
            let number: usize = job.decode::<Note>()?.text.parse().unwrap();
            assert_eq!(running[number % 2].fetch_add(1, Ordering::SeqCst), 0, "another runs");
            started.send(number).unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
            running[number % 2].fetch_sub(1, Ordering::SeqCst);
            // A retry holds up those after it.
            if number % 10 == 7 && job.attempt == 1 {
                return Err(JobError::retry_after("once more", Duration::ZERO));
            }
            Ok(())
        }
    };
    let workers = [0; 2].map(|_| Worker::start(&database, StoreOptions::default(), 8, handler.clone()));
    let (mut even, mut odd) = (Vec::new(), Vec::new());
    while even.len() + odd.len() < 44 {
        let number = soon(starts.recv()).await.unwrap();
        if number % 2 == 0 { even.push(number) } else { odd.push(number) }
    }
    assert_eq!(even, (0..40).step_by(2).collect::<Vec<_>>());
    let expected = (1..40).step_by(2).flat_map(|number| vec![number; if number % 10 == 7 { 2 } else { 1 }]);
    assert_eq!(odd, expected.collect::<Vec<_>>());
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_for_later_does_not_hold_up_those_that_are_due() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    enqueue_at(connection, &Note::serial("key", "later"), Utc::now() + TimeDelta::hours(1)).await.unwrap();
    database.enqueue(&Note::serial("key", "now")).await.unwrap();
    let (started, mut starts) = mpsc::unbounded_channel();
    let worker = Worker::start(&database, StoreOptions::default(), 2, move |job: ClaimedJob| {
        started.send(job.decode::<Note>().unwrap().text).unwrap();
        async { Ok(()) }
    });
    assert_eq!(soon(starts.recv()).await.unwrap(), "now");
    database.put_clock_ahead("2 hours").await;
    assert_eq!(soon(starts.recv()).await.unwrap(), "later");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_itself_refuses_a_second_running_job() {
    let database = Database::new().await;
    let first = database.enqueue(&Note::serial("key", "")).await.unwrap();
    let second = database.enqueue(&Note::serial("key", "")).await.unwrap();
    database.let_lease_run_out(first).await;
    let also = format!("UPDATE jobs SET status = 'running', lease_expires_at = job_clock() WHERE id = '{second}'");
    let refused = diesel_async::RunQueryDsl::execute(diesel::sql_query(also), &mut database.connection().await).await;
    assert!(refused.unwrap_err().to_string().contains("jobs_serial_key"));
}
