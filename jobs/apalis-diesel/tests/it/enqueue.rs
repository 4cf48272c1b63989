use apalis_diesel::admin::{self, JobStatus};
use apalis_diesel::{Job, MIGRATIONS, enqueue, enqueue_all, enqueue_all_at, enqueue_at};
use chrono::{SubsecRound, TimeDelta, Utc};
use diesel_async::{AsyncConnection, AsyncMigrationHarness, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::MigrationHarness;
use futures_util::StreamExt;
use uuid::Uuid;

use crate::support::{Database, Note, Urgent, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_exists_exactly_if_its_transaction_commits() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;

    let rolled_back: Result<(), _> = connection
        .transaction(async |connection| {
            enqueue(connection, &Note::new("no")).await?;
            Err(diesel::result::Error::RollbackTransaction)
        })
        .await;
    assert!(rolled_back.is_err());
    assert_eq!(database.number("SELECT count(*) AS value FROM jobs").await, 0);

    let id = connection
        .transaction::<_, diesel::result::Error, _>(async |connection| enqueue(connection, &Note::new("yes")).await)
        .await
        .unwrap()
        .unwrap();
    let job = database.job(id).await;
    assert_eq!(job.status, JobStatus::Waiting);
    assert_eq!(serde_json::from_value::<Note>(job.payload).unwrap(), Note::new("yes"));
    assert_eq!((job.queue.as_str(), job.kind.as_str()), ("notes", "note"));
    assert_eq!((job.attempt, job.max_attempts, job.priority), (0, 3, 0));
    assert_eq!(id.get_version_num(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn enqueueing_is_one_insert() {
    let database = Database::new().await;
    database
        .sql(
            "CREATE TABLE inserts (rows bigint);
             CREATE FUNCTION count_insert() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN INSERT INTO inserts SELECT count(*) FROM new; RETURN NULL; END $$;
             CREATE TRIGGER count_insert AFTER INSERT ON jobs REFERENCING NEW TABLE AS new
                 FOR EACH STATEMENT EXECUTE FUNCTION count_insert()",
        )
        .await;
    let connection = &mut database.connection().await;
    let mixed = [Note::new("a"), Note::unique("k"), Note::serial("s", "b"), Note::unique("k")];
    let ids = enqueue_all(connection, &mixed).await.unwrap();
    assert_eq!(ids.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, false]);
    enqueue_all(connection, &vec![Note::new("many"); 2_000]).await.unwrap();
    assert_eq!(database.number("SELECT count(*) AS value FROM inserts").await, 2);
    assert_eq!(database.number("SELECT sum(rows)::bigint AS value FROM inserts").await, 2_003);
    assert_eq!(enqueue_all::<Note>(connection, &[]).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn enqueueing_in_a_transaction_costs_one_statement() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    let begin = format!("SELECT '{}'", Uuid::now_v7());
    connection.batch_execute("CREATE TABLE backend AS SELECT pg_backend_pid()::bigint AS pid").await.unwrap();
    connection.batch_execute("SET log_statement = 'all'").await.unwrap();
    connection.batch_execute(&begin).await.unwrap();
    let backend = database.number("SELECT pid AS value FROM backend").await;
    for _ in 0..3 {
        for note in [Note::new("plain"), Note::unique("key")] {
            connection
                .transaction::<_, diesel::result::Error, _>(async |connection| enqueue(connection, &note).await)
                .await
                .unwrap();
        }
    }
    // What the server logged for this connection since: "LOG:  statement: BEGIN", "LOG:  execute s0: …".
    let log = database.text("SELECT pg_read_file(current_setting('data_directory') || '/../log') AS value").await;
    let (_, log) = log.rsplit_once(&begin).unwrap();
    let statements: Vec<&str> = log
        .split(&format!("[{backend}] LOG:  "))
        .skip(1)
        .map(|entry| entry.split_once(": ").unwrap().1.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(statements, ["BEGIN", "WITH", "COMMIT"].repeat(6), "{log}");
    connection.batch_execute("CREATE TABLE prepared AS SELECT statement FROM pg_prepared_statements").await.unwrap();
    let prepared = "SELECT count(*) AS value FROM prepared WHERE statement LIKE '%INSERT INTO jobs%'";
    assert_eq!(database.number(prepared).await, 2, "one for those with a unique key and one for those without");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_jobs_are_scheduled_for_one_time() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    let run_at = (Utc::now() + TimeDelta::hours(1)).trunc_subsecs(6);
    let notes = [Note::new("a"), Note::unique("k"), Note::unique("k"), Note::serial("s", "b")];
    let ids = enqueue_all_at(connection, &notes, run_at).await.unwrap();
    assert_eq!(ids.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, true]);
    for (id, note) in ids.iter().zip(&notes).filter_map(|(id, note)| Some((id.as_ref()?, note))) {
        let job = database.job(*id).await;
        assert_eq!((job.status, job.scheduled_at, job.run_at), (JobStatus::Waiting, run_at, run_at));
        assert_eq!(&serde_json::from_value::<Note>(job.payload).unwrap(), note);
        assert_eq!((&job.unique_key, &job.serial_key), (&note.unique, &note.serial));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_one_insert_keep_their_order() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    let notes: Vec<Note> = (0..100).map(|number| Note::new(&number.to_string())).collect();
    enqueue_all(connection, &notes).await.unwrap();
    let unordered = "SELECT count(*) AS value FROM (
        SELECT (payload ->> 'text')::bigint AS text, row_number() OVER (ORDER BY ordinal) - 1 AS place FROM jobs) AS jobs
        WHERE text <> place";
    assert_eq!(database.number(unordered).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_key_holds_among_waiting_jobs_of_its_kind() {
    let database = Database::new().await;
    let first = database.enqueue(&Note::unique("key")).await.unwrap();
    assert_eq!(database.enqueue(&Note::unique("key")).await, None);
    assert!(database.enqueue(&Note::unique("another key")).await.is_some());

    let connection = &mut database.connection().await;
    let later = Utc::now() + TimeDelta::hours(1);
    assert_eq!(enqueue_at(connection, &Note::unique("key"), later).await.unwrap(), None);

    database.let_lease_run_out(first).await;
    assert!(database.enqueue(&Note::unique("key")).await.is_some(), "the first one runs");
    assert_eq!(database.enqueue(&Note::unique("key")).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_that_stands_for_another_is_not_claimed_before_the_commit() {
    let database = Database::new().await;
    let id = database.enqueue(&Note::unique("key")).await.unwrap();
    let claimable = "SELECT count(*) AS value FROM (SELECT FROM jobs FOR UPDATE SKIP LOCKED) AS jobs";
    assert_eq!(database.number(claimable).await, 1);

    let connection = &mut database.connection().await;
    connection
        .transaction::<_, diesel::result::Error, _>(async |connection| {
            assert_eq!(enqueue(connection, &Note::unique("key")).await?, None);
            // Others that want the same aren't held up.
            assert_eq!(database.enqueue(&Note::unique("key")).await, None);
            assert_eq!(database.number(claimable).await, 0);
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(database.number(claimable).await, 1);
    assert_eq!(database.job(id).await.attempt, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_transactions_enqueue_a_unique_job_once() {
    let database = Database::new().await;
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let pool = database.pool.clone();
            tokio::spawn(async move {
                let connection = pool.get().await.unwrap();
                enqueue(&connection, &Note::unique("key")).await.unwrap()
            })
        })
        .collect();
    let mut inserted = 0;
    for racer in racers {
        inserted += usize::from(racer.await.unwrap().is_some());
    }
    assert_eq!(inserted, 1);
    assert_eq!(database.number("SELECT count(*) AS value FROM jobs").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_wakes_is_a_few_notifications() {
    let database = Database::new().await;
    let mut listener = database.connection().await;
    listener.batch_execute("LISTEN apalis_diesel").await.unwrap();
    let mut notifications = std::pin::pin!(listener.notifications_stream());

    let wake = database.wake();
    for _ in 0..1_000 {
        wake.clone().wake();
    }
    assert_eq!(soon(notifications.next()).await.unwrap().unwrap().payload, "");
    database.sql("NOTIFY apalis_diesel, 'end'").await;
    let mut count = 1;
    while soon(notifications.next()).await.unwrap().unwrap().payload != "end" {
        count += 1;
    }
    assert!(count <= 10, "{count} notifications");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_migration_goes_down_and_up_again() {
    let database = Database::new().await;
    let mut harness = AsyncMigrationHarness::new(database.connection().await);
    harness.revert_all_migrations(MIGRATIONS).unwrap();
    let relics = "SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE 'jobs%')
        + (SELECT count(*) FROM pg_proc WHERE proname = 'job_clock') AS value";
    assert_eq!(database.number(relics).await, 0);
    harness.run_pending_migrations(MIGRATIONS).unwrap();
    assert!(database.enqueue(&Urgent {}).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn given_up_jobs_are_listed_retried_and_cancelled() {
    let database = Database::new().await;
    let id = database.enqueue(&Note::unique("key")).await.unwrap();
    let connection = &mut database.connection().await;
    assert!(!admin::retry(connection, id).await.unwrap(), "it wasn't given up");
    let give_up = format!(
        "UPDATE jobs SET status = 'given_up', attempt = 3, last_error = 'broken', finished_at = job_clock()
         WHERE id = '{id}'"
    );
    diesel::sql_query(&give_up).execute(connection).await.unwrap();

    let filter = admin::JobFilter { status: Some(JobStatus::GivenUp), ..Default::default() };
    let listed = admin::list(connection, &filter, 10).await.unwrap();
    assert_eq!(listed.iter().map(|job| job.id).collect::<Vec<_>>(), [id]);
    assert_eq!(listed[0].last_error.as_deref(), Some("broken"));
    assert_eq!(admin::list(connection, &filter, 0).await.unwrap(), []);

    assert!(admin::retry(connection, id).await.unwrap());
    let job = database.job(id).await;
    assert_eq!((job.status, job.attempt, job.uncounted_attempts), (JobStatus::Waiting, 3, 3));
    assert_eq!(job.unique_key.as_deref(), Some("key"));

    diesel::sql_query(&give_up).execute(connection).await.unwrap();
    database.enqueue(&Note::unique("key")).await.unwrap();
    assert!(admin::retry(connection, id).await.unwrap());
    assert_eq!(database.job(id).await.unique_key, None, "another job has the key by now");

    assert!(admin::cancel(connection, id).await.unwrap());
    assert_eq!(admin::find(connection, id).await.unwrap(), None);
    assert!(!admin::cancel(connection, id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_cannot_be_cancelled() {
    let database = Database::new().await;
    let id = database.enqueue(&Note::new("")).await.unwrap();
    database.let_lease_run_out(id).await;
    assert!(!admin::cancel(&mut database.connection().await, id).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_jobs_done_long_ago_are_pruned() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    enqueue_all(connection, &vec![Note::new(""); 4]).await.unwrap();
    let finish = |status, ordinal| {
        format!("UPDATE jobs SET status = '{status}', finished_at = job_clock() WHERE ordinal = {ordinal};")
    };
    let day = std::time::Duration::from_secs(24 * 3600);
    database.sql(&[finish("done", 1), finish("done", 2), finish("given_up", 3)].concat()).await;
    assert_eq!(admin::prune(connection, day, 100).await.unwrap(), 0);
    database.put_clock_ahead("2 days").await;
    assert_eq!(admin::prune(connection, day, 1).await.unwrap(), 1);
    assert_eq!(admin::prune(connection, day, 100).await.unwrap(), 1);
    assert_eq!(admin::prune(connection, day, 100).await.unwrap(), 0);
    assert_eq!(database.number("SELECT count(*) AS value FROM jobs").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_tell_the_states_apart() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    assert_eq!(admin::statistics(connection).await.unwrap(), []);
    enqueue_all(connection, &vec![Note::new(""); 6]).await.unwrap();
    enqueue_at(connection, &Note::new(""), Utc::now() + TimeDelta::hours(3)).await.unwrap();
    database
        .sql(
            "UPDATE jobs SET attempt = 1, run_at = run_at + interval '1 hour' WHERE ordinal = 1;
             UPDATE jobs SET attempt = 1, status = 'running', lease_expires_at = job_clock() WHERE ordinal = 2;
             UPDATE jobs SET attempt = 3, status = 'given_up', finished_at = job_clock() WHERE ordinal = 3;
             UPDATE jobs SET attempt = 1, status = 'done', finished_at = job_clock() WHERE ordinal = 4",
        )
        .await;
    let statistics = admin::statistics(connection).await.unwrap();
    assert_eq!(statistics.len(), 1);
    let queue = &statistics[0];
    assert_eq!(queue.queue, Note::QUEUE);
    assert_eq!((queue.waiting, queue.scheduled, queue.retrying), (2, 1, 1));
    assert_eq!((queue.running, queue.given_up), (1, 1));
    assert!(queue.oldest_due_seconds >= 0.0);
    database.put_clock_ahead("1 minute").await;
    assert!(admin::statistics(connection).await.unwrap()[0].oldest_due_seconds >= 60.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_turn_is_not_due() {
    let database = Database::new().await;
    let connection = &mut database.connection().await;
    for (key, status) in [("retried", "waiting"), ("running", "running")] {
        enqueue_all(connection, &[Note::serial(key, "first"), Note::serial(key, "second")]).await.unwrap();
        let lease = if status == "running" { "job_clock() + interval '1 hour'" } else { "NULL" };
        database
            .sql(&format!(
                "UPDATE jobs SET attempt = 1, status = '{status}', run_at = job_clock() + interval '1 hour', \
                 lease_expires_at = {lease} WHERE ordinal = (SELECT min(ordinal) FROM jobs WHERE serial_key = '{key}')"
            ))
            .await;
    }
    database.put_clock_ahead("10 minutes").await;
    let queue = admin::statistics(connection).await.unwrap().remove(0);
    assert_eq!((queue.waiting, queue.scheduled, queue.retrying, queue.running), (0, 2, 1, 1));
    assert!(queue.oldest_due_seconds < f64::EPSILON, "{queue:?}");
    // Once it is the first one's turn again, it is due, and the one behind it isn't.
    database.put_clock_ahead("60 minutes").await;
    let queue = admin::statistics(connection).await.unwrap().remove(0);
    assert_eq!((queue.waiting, queue.scheduled, queue.retrying), (0, 2, 1));
    assert!((500.0..1_000.0).contains(&queue.oldest_due_seconds), "{queue:?}");
}
