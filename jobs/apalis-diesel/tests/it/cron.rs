use std::time::Duration;

use apalis_diesel::admin::{self, JobFilter, JobRecord, JobStatus};
use apalis_diesel::{JobStore, ScheduleError, Schedules, StoreOptions};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::support::{Database, Note, Worker};

/// Looks at the schedules every 20 ms.
fn attentive() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.schedule_look = Duration::from_millis(20);
    options
}

/// A note of its own for each tick, even for a second one of the same time.
fn each_tick(tick: DateTime<Utc>) -> Note {
    Note { text: tick.to_rfc3339(), ..Note::unique(&Uuid::now_v7().to_string()) }
}

/// Not more often, so that no tick comes by itself while a test runs.
fn yearly() -> Schedules {
    Schedules::new().add("yearly", "@yearly", each_tick).unwrap()
}

fn run(database: &Database, schedules: Schedules) -> JobStore {
    let store = JobStore::start(&database.url, attentive()).unwrap();
    store.run_schedules(schedules);
    store
}

/// Waits until the table has this many schedules.
async fn registered(database: &Database, count: i64) {
    database.until_number("SELECT count(*) AS value FROM job_schedules", count).await;
}

const JOBS: &str = "SELECT count(*) AS value FROM jobs";
/// How many schedules have their next tick ahead.
const AHEAD: &str = "SELECT count(*) AS value FROM job_schedules WHERE next_at > job_clock()";

async fn jobs(database: &Database) -> Vec<JobRecord> {
    admin::list(&mut database.connection().await, &JobFilter::default(), 100).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tick_is_enqueued_once_however_many_processes_run() {
    let database = Database::new().await;
    let stores = [(); 8].map(|()| run(&database, yearly()));
    registered(&database, 1).await;
    for ticks in 1..=10 {
        database.put_clock_ahead("1 year").await;
        database.until_number(JOBS, ticks).await;
    }
    database.until_number(AHEAD, 1).await;
    let different = "SELECT count(DISTINCT payload ->> 'text') AS value FROM jobs";
    assert_eq!(database.number(different).await, 10);
    for store in stores {
        store.close().await;
    }
    assert_eq!(database.number(JOBS).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_missed_while_nothing_ran_are_one_on_return() {
    let database = Database::new().await;
    let store = run(&database, yearly());
    registered(&database, 1).await;
    store.close().await;
    let first = database.number("SELECT extract(epoch FROM next_at)::bigint AS value FROM job_schedules").await;

    database.put_clock_ahead("3 years").await;
    let stores = [(); 2].map(|()| run(&database, yearly()));
    database.until_number(AHEAD, 1).await;
    for store in stores {
        store.close().await;
    }
    let jobs = jobs(&database).await;
    assert_eq!(jobs.len(), 1);
    let first = DateTime::from_timestamp(first, 0).unwrap();
    assert_eq!(jobs[0].payload["text"], first.to_rfc3339());
    let on_time = "SELECT count(*) AS value FROM job_schedules
        WHERE next_at = date_trunc('year', job_clock(), 'UTC') + interval '1 year' AND last_at <= job_clock()";
    assert_eq!(database.number(on_time).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tick_enqueues_a_job_while_that_of_an_earlier_one_waits() {
    let database = Database::new().await;
    let note = |text: &'static str| move |_| Note::new(text);
    let schedules = Schedules::new().add("a", "@yearly", note("a")).unwrap().add("b", "@yearly", note("b")).unwrap();
    let store = run(&database, schedules);
    registered(&database, 2).await;
    for _ in 0..2 {
        database.put_clock_ahead("1 year").await;
        database.until_number(AHEAD, 2).await;
    }
    let waiting = jobs(&database).await;
    let mut keys: Vec<_> = waiting.iter().filter_map(|job| job.unique_key.as_deref()).collect();
    keys.sort();
    assert_eq!((waiting.len(), keys), (2, vec!["a", "b"]));
    assert!(waiting[0].correlation_id.is_some() && waiting[0].correlation_id != waiting[1].correlation_id);

    let worker = Worker::start(&database, StoreOptions::default(), 2, |_| async { Ok(()) });
    for job in waiting {
        database.until_status(job.id, JobStatus::Done).await;
    }
    database.put_clock_ahead("1 year").await;
    database.until_number("SELECT count(*) AS value FROM jobs WHERE status = 'done'", 4).await;
    worker.stop().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_on_schedule_wakes_the_workers() {
    let database = Database::new().await;
    let mut patient = StoreOptions::default();
    patient.look = Duration::from_secs(3600);
    let worker = Worker::start(&database, patient, 1, |_| async { Ok(()) });
    let listening = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database()
        AND state = 'idle' AND (query LIKE 'LISTEN%' OR application_name = 'apalis-diesel claim')";
    database.until_number(listening, 2).await;
    let store = run(&database, yearly());
    registered(&database, 1).await;
    database.put_clock_ahead("1 year").await;
    database.until_number("SELECT count(*) AS value FROM jobs WHERE status = 'done'", 1).await;
    worker.stop().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_expression_sets_the_next_tick_anew() {
    let database = Database::new().await;
    for (expression, next) in [
        ("@yearly", "date_trunc('year', job_clock(), 'UTC') + interval '1 year'"),
        ("0 0 0 1 Jul *", "date_trunc('year', job_clock() + interval '6 months', 'UTC') + interval '6 months'"),
        // All of them have passed.
        ("0 0 0 1 1 * 2020", "'262142-12-31 23:59:59.999999+00'"),
        ("@yearly", "date_trunc('year', job_clock(), 'UTC') + interval '1 year'"),
    ] {
        let store = run(&database, Schedules::new().add("schedule", expression, each_tick).unwrap());
        let expected = format!(
            "SELECT count(*) AS value FROM job_schedules WHERE expression = '{expression}' AND next_at = {next}"
        );
        database.until_number(&expected, 1).await;
        store.close().await;
    }
    // One that hasn't changed leaves the row alone.
    database.sql("UPDATE job_schedules SET next_at = '2100-01-01'").await;
    let again = Schedules::new().add("schedule", "@yearly", each_tick).unwrap().add("z", "@yearly", each_tick).unwrap();
    let store = run(&database, again);
    registered(&database, 2).await;
    let unchanged = "SELECT count(*) AS value FROM job_schedules WHERE next_at = '2100-01-01'";
    assert_eq!(database.number(unchanged).await, 1);
    store.close().await;
    assert_eq!(database.number(JOBS).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_whose_transaction_was_rolled_back_comes_later_and_keeps_no_other() {
    let database = Database::new().await;
    database
        .sql(
            "CREATE SEQUENCE refusals;
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN PERFORM nextval('refusals'); RAISE 'refused'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON jobs FOR EACH ROW
                 WHEN (new.unique_key = 'refused') EXECUTE FUNCTION refuse()",
        )
        .await;
    let schedules = Schedules::new().add("accepted", "@yearly", |_| Note::new("")).unwrap();
    let schedules = schedules.add("panicking", "@yearly", |_| -> Note { panic!("as told") }).unwrap();
    let schedules = schedules.add("refused", "@yearly", |_| Note::new("")).unwrap();
    let store = run(&database, schedules);
    registered(&database, 3).await;
    database.put_clock_ahead("1 year").await;
    database.until_number("SELECT least(last_value, 2) AS value FROM refusals", 2).await;
    let accepted = "SELECT count(*) AS value FROM job_schedules WHERE next_at > job_clock() AND name = 'accepted'";
    database.until_number(accepted, 1).await;
    assert_eq!((database.number(JOBS).await, database.number(AHEAD).await), (1, 1));

    database.sql("DROP TRIGGER refuse ON jobs").await;
    database.until_number(JOBS, 2).await;
    assert_eq!(database.number(AHEAD).await, 2);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_go_on_after_their_connection_or_row_was_lost() {
    let database = Database::new().await;
    let store = run(&database, yearly());
    registered(&database, 1).await;
    database
        .sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = 'apalis-diesel schedule' AND datname = current_database()",
        )
        .await;
    database.put_clock_ahead("1 year").await;
    database.until_number(JOBS, 1).await;

    database.sql("DELETE FROM job_schedules").await;
    registered(&database, 1).await;
    database.put_clock_ahead("1 year").await;
    database.until_number(JOBS, 2).await;
    store.close().await;
}

#[test]
fn what_can_be_no_schedule_is_refused() {
    let add = |schedules: Schedules, name: &str, expression: &str| schedules.add(name, expression, each_tick);
    for expression in ["", "every day", "* * * * *", "0 0 25 * * *"] {
        let error = add(Schedules::new(), "a", expression).unwrap_err();
        assert!(matches!(error, ScheduleError::Expression { .. }), "{error:?}");
    }
    let error = add(Schedules::new(), "a", "0 0 0 30 Feb *").unwrap_err();
    assert!(matches!(error, ScheduleError::Never { .. }), "{error:?}");
    let error = add(yearly(), "yearly", "@daily").unwrap_err();
    assert_eq!(error.to_string(), "there is a schedule \"yearly\" already");
}
