use apalis::layers::WorkerBuilderExt;
use apalis_core::monitor::Monitor;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_diesel::admin::JobStatus;
use apalis_diesel::{ClaimedJob, Job, JobError, JobStore, StoreOptions, enqueue_all};
use tokio::sync::{mpsc, watch};

use crate::support::{Database, Note, Worker, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_finishes_what_runs_and_gives_back_the_rest_unharmed() {
    let database = Database::new().await;
    let ids = enqueue_all(&database.connection().await, &vec![Note::new(""); 5]).await.unwrap();
    let (started, mut starts) = mpsc::unbounded_channel();
    let (release, released) = watch::channel(false);
    let store = JobStore::start(&database.url, StoreOptions::default()).unwrap();
    let queues = store.clone();
    let monitor = Monitor::new().register(move |_| {
        let (started, released) = (started.clone(), released.clone());
        // Claims five jobs and starts one.
        WorkerBuilder::new("notes").backend(queues.queue(Note::QUEUE, 5)).concurrency(1).build(
            move |job: ClaimedJob| {
                let (started, mut released) = (started.clone(), released.clone());
                async move {
                    started.send(job.id).unwrap();
                    released.wait_for(|released| *released).await.unwrap();
                    Ok::<_, JobError>(())
                }
            },
        )
    });
    let worker = Worker::monitor(store, monitor);
    let first = soon(starts.recv()).await.unwrap();
    database.until_number("SELECT count(*) AS value FROM jobs WHERE status = 'running'", 5).await;

    worker.shut_down();
    release.send(true).unwrap();
    worker.stop().await;
    for id in ids.into_iter().flatten() {
        let job = database.job(id).await;
        if id == first {
            assert_eq!((job.status, job.attempt, job.uncounted_attempts), (JobStatus::Done, 1, 0));
        } else {
            assert_eq!((job.status, job.attempt, job.uncounted_attempts), (JobStatus::Waiting, 1, 1));
            assert_eq!((job.worker, job.last_error, job.alone), (None, None, false));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_in_time_is_stopped_and_given_back() {
    let database = Database::new().await;
    let (started, mut starts) = mpsc::unbounded_channel();
    let worker = Worker::start(&database, StoreOptions::default(), 2, move |_| {
        started.send(()).unwrap();
        std::future::pending()
    });
    let id = database.enqueue(&Note::new("")).await.unwrap();
    soon(starts.recv()).await.unwrap();
    worker.abort().await;
    let job = database.job(id).await;
    assert_eq!((job.status, job.attempt, job.uncounted_attempts), (JobStatus::Waiting, 1, 1));
    assert!(starts.recv().await.is_none(), "the handler was dropped");
}
