use apalis_diesel::admin::{self, JobFilter, JobStatus};
use apalis_diesel::{Job, enqueue_all};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use crate::support::{Brief, Database, Note, Urgent};

async fn listed(connection: &mut AsyncPgConnection, filter: &JobFilter, limit: u32) -> Vec<Uuid> {
    admin::list(connection, filter, limit).await.unwrap().into_iter().map(|job| job.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_filtered_and_paged() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    let notes = enqueue_all(connection, &vec![Note::new(""); 3]).await.unwrap();
    let newest_first: Vec<Uuid> = notes.into_iter().flatten().rev().collect();
    let brief = database.enqueue(&Brief {}).await.unwrap();
    let urgent = database.enqueue(&Urgent {}).await.unwrap();
    database.sql(&format!("UPDATE jobs SET queue = 'others' WHERE id = '{brief}'")).await;
    database.let_lease_run_out(urgent).await;

    let all = JobFilter::default();
    let expected: Vec<Uuid> = [urgent, brief].into_iter().chain(newest_first.clone()).collect();
    assert_eq!(listed(connection, &all, 100).await, expected);
    assert_eq!(listed(connection, &all, 2).await, expected[..2]);
    let next = JobFilter { before: Some(expected[1]), ..all.clone() };
    assert_eq!(listed(connection, &next, 2).await, expected[2..4]);

    let of_queue = JobFilter { queue: Some("others".to_owned()), ..all.clone() };
    assert_eq!(listed(connection, &of_queue, 100).await, [brief]);
    let of_kind = JobFilter { kind: Some(Note::KIND.to_owned()), ..all.clone() };
    assert_eq!(listed(connection, &of_kind, 100).await, newest_first);
    let running = JobFilter { status: Some(JobStatus::Running), ..all.clone() };
    assert_eq!(listed(connection, &running, 100).await, [urgent]);
    let waiting = JobFilter { status: Some(JobStatus::Waiting), ..of_kind };
    assert_eq!(listed(connection, &waiting, 100).await, newest_first);
    let nothing = JobFilter { status: Some(JobStatus::Running), ..of_queue };
    assert!(listed(connection, &nothing, 100).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_jobs_that_were_given_up_are_retried_the_first_first() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    let give_up = "UPDATE jobs SET status = 'given_up', attempt = 3, last_error = 'broken',
        finished_at = job_clock() - ordinal * interval '1 hour' WHERE status = 'waiting'";
    let mut ids = Vec::new();
    // All with the same unique key.
    for _ in 0..3 {
        ids.push(database.enqueue(&Note::unique("key")).await.unwrap());
        database.sql(give_up).await;
    }
    let brief = database.enqueue(&Brief {}).await.unwrap();
    database.sql(give_up).await;
    let done = database.enqueue(&Note::new("")).await.unwrap();
    database.sql("UPDATE jobs SET status = 'done', finished_at = job_clock() WHERE status = 'waiting'").await;

    let notes = JobFilter { kind: Some(Note::KIND.to_owned()), ..JobFilter::default() };
    assert_eq!(admin::retry_all(connection, &notes, 2).await.unwrap(), 2);
    // The last one was given up first.
    assert_eq!(database.job(ids[2]).await.unique_key.as_deref(), Some("key"));
    assert_eq!((database.job(ids[1]).await.status, database.job(ids[1]).await.unique_key), (JobStatus::Waiting, None));
    assert_eq!(database.job(ids[0]).await.status, JobStatus::GivenUp);
    assert_eq!(admin::retry_all(connection, &notes, 2).await.unwrap(), 1);
    assert_eq!(admin::retry_all(connection, &notes, 2).await.unwrap(), 0);
    assert_eq!(database.job(brief).await.status, JobStatus::GivenUp);
    assert_eq!(database.job(done).await.status, JobStatus::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_are_not_done_are_listed_without_reading_the_others() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    enqueue_all(connection, &vec![Note::new(""); 20_000]).await.unwrap();
    // The oldest of them all.
    database
        .sql(
            "UPDATE jobs SET status = 'done', finished_at = job_clock() WHERE ordinal > 3;
             UPDATE jobs SET status = 'given_up', finished_at = job_clock() WHERE ordinal = 1;
             UPDATE jobs SET status = 'running', lease_expires_at = job_clock() WHERE ordinal = 2",
        )
        .await;
    database.sql("VACUUM ANALYZE jobs").await;
    let read = "SELECT (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'jobs')
        + (SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'jobs') AS value";
    // Else the backend would tell its figures later.
    let flush = async |connection: &mut AsyncPgConnection| {
        diesel::sql_query("SELECT pg_stat_force_next_flush()").execute(connection).await.unwrap();
    };
    flush(connection).await;
    let before = database.number(read).await;
    for status in [JobStatus::Waiting, JobStatus::Running, JobStatus::GivenUp] {
        let filter = JobFilter { status: Some(status), ..JobFilter::default() };
        assert_eq!(listed(connection, &filter, 100).await.len(), 1);
        let filter = JobFilter { queue: Some("others".to_owned()), ..filter };
        assert!(listed(connection, &filter, 100).await.is_empty());
    }
    flush(connection).await;
    let read = database.number(read).await - before;
    assert!((3..1_000).contains(&read), "{read} rows");
}
