use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use apalis_diesel::admin::JobStatus;
use apalis_diesel::{StoreOptions, correlation, enqueue, enqueue_all};
use diesel_async::AsyncConnection;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::support::{Database, Note, Worker, soon};

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_enqueue_keeps_the_current_id() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    let (plain, unique, many) = correlation::scope("request-1", async {
        let plain = enqueue(connection, &Note::new("")).await.unwrap().unwrap();
        let unique = connection
            .transaction::<_, diesel::result::Error, _>(async |connection| {
                enqueue(connection, &Note::unique("key")).await
            })
            .await
            .unwrap()
            .unwrap();
        let many = enqueue_all(connection, &[Note::new(""), Note::unique("another key")]).await.unwrap();
        (plain, unique, many)
    })
    .await;
    for id in [plain, unique].into_iter().chain(many.into_iter().flatten()) {
        assert_eq!(database.job(id).await.correlation_id.as_deref(), Some("request-1"));
    }
    let outside = enqueue(connection, &Note::new("")).await.unwrap().unwrap();
    assert_eq!(database.job(outside).await.correlation_id, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_too_long_for_the_column_is_cut_and_the_column_refuses_it() {
    let database = Database::new().await;
    let id = correlation::scope("x".repeat(101), database.enqueue(&Note::new(""))).await.unwrap();
    assert_eq!(database.job(id).await.correlation_id, Some("x".repeat(100)));
    let longer = "UPDATE jobs SET correlation_id = repeat('x', 101)";
    let refused = diesel_async::RunQueryDsl::execute(diesel::sql_query(longer), &mut database.connection().await).await;
    assert!(refused.unwrap_err().to_string().contains("jobs_correlation_id_length"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_enqueues_carries_the_id_of_its_job_on() {
    let database = Database::new().await;
    let pool = database.pool.clone();
    let (enqueued, mut ids) = mpsc::unbounded_channel();
    let worker = Worker::start(&database, StoreOptions::default(), 4, move |job| {
        let (pool, enqueued) = (pool.clone(), enqueued.clone());
        let at_call = correlation::current();
        async move {
            assert_eq!(correlation::current(), job.correlation_id);
            assert_eq!(at_call, job.correlation_id);
            if job.decode::<Note>()?.text == "first" {
                let connection = pool.get().await?;
                enqueued.send(enqueue(&connection, &Note::new("second")).await?.unwrap()).unwrap();
            }
            Ok(())
        }
    });
    for id in [Some("request-1"), None, Some("request-2")] {
        let first = match id {
            Some(id) => correlation::scope(id, database.enqueue(&Note::new("first"))).await,
            None => database.enqueue(&Note::new("first")).await,
        };
        let second = soon(ids.recv()).await.unwrap();
        for job in [first.unwrap(), second] {
            assert_eq!(database.until_status(job, JobStatus::Done).await.correlation_id.as_deref(), id);
        }
    }
    worker.stop().await;
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_of_a_handler_show_the_id_where_there_is_one() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    // It hears the other tests, too.
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let database = Database::new().await;
    let worker = Worker::start(&database, StoreOptions::default(), 1, |_| async {
        tracing::info!("at work");
        Ok(())
    });
    let with = correlation::scope("request-1", database.enqueue(&Note::new(""))).await.unwrap();
    let without = database.enqueue(&Note::new("")).await.unwrap();
    for id in [with, without] {
        database.until_status(id, JobStatus::Done).await;
    }
    worker.stop().await;

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let span = |id: uuid::Uuid| {
        let line = lines
            .iter()
            .find(|line| line["fields"]["message"] == "at work" && line["span"]["id"] == id.to_string())
            .unwrap_or_else(|| panic!("no line of {id} in {log}"));
        &line["span"]
    };
    assert_eq!(span(with)["correlation_id"], "request-1");
    assert_eq!(span(with)["kind"], "note");
    assert_eq!(span(without).get("correlation_id"), None);
}
