//! The heartbeat: extends this process's leases, and frees jobs whose leases ran out. It has a thread and a connection
//! of its own, so that neither handlers that block their threads nor an exhausted pool can stop it.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Double, Integer, Text, Uuid as SqlUuid};
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::failure::chain;
use super::link::{Link, LinkError};
use super::metrics;
use super::running::{Cancel, Key};
use super::shared::{MARGIN, Shared, closed};
use crate::statement::{self, Statement, lock_claims, unique_key_when_waiting};

/// The maximum number of lapsed leases that one statement frees.
const BATCH: i64 = 500;

pub(crate) fn start(shared: Arc<Shared>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("job-heartbeat".to_owned()).spawn(move || runtime.block_on(beat(shared)))?;
    Ok(())
}

async fn beat(shared: Arc<Shared>) {
    let mut phase = shared.phase.subscribe();
    let mut link = Link::new(shared.connector.clone(), "heartbeat");
    let mut ticks = tokio::time::interval(shared.options.heartbeat);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = closed(&mut phase) => return,
        }
        // The process's own leases come first. If the whole process was paused, they may have run out without anybody
        // having noticed.
        let result = match extend(&shared, &mut link).await {
            Ok(()) => free(&mut link).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) if failing => {
                failing = false;
                tracing::info!("extending leases again");
            }
            Ok(()) => {}
            Err(error) => {
                if !failing {
                    let error = chain(&error);
                    tracing::warn!(%error, "could not extend the leases of the running jobs; trying again");
                }
                failing = true;
                // The next attempt comes sooner than usual, since the leases are running out.
                ticks.reset_at(Instant::now() + Duration::from_secs(1).min(shared.options.heartbeat));
            }
        }
    }
}

async fn extend(shared: &Shared, link: &mut Link) -> Result<(), LinkError> {
    let keys = shared.running.keys();
    if keys.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
    let attempts: Vec<i32> = keys.iter().map(|key| key.1).collect();
    let lost: Vec<Key> = link
        .load(
            Statement::<ExtendLeases, (SqlUuid, Integer)>::new()
                .bind::<Array<SqlUuid>, _>(ids)
                .bind::<Array<Integer>, _>(attempts)
                .bind::<Double, _>(shared.options.lease.as_secs_f64())
                .bind::<Double, _>(MARGIN.as_secs_f64()),
        )
        .await?;
    for key in lost {
        // A claim that was just acknowledged looks lost too, but there is no handler left to stop.
        if shared.running.cancel(key, Cancel::Lost) {
            tracing::warn!(job = %key.0, attempt = key.1, "lost a job: its lease ran out, and it was taken away");
        }
    }
    Ok(())
}

async fn free(link: &mut Link) -> Result<(), LinkError> {
    // Jobs with a unique key are freed one by one. Two of them may have the same key, and only one can keep it.
    while free_some::<FreeLapsed>(link, BATCH).await? == BATCH as usize {}
    while free_some::<FreeLapsedUnique>(link, 1).await? == 1 {}
    Ok(())
}

async fn free_some<T: statement::Text>(link: &mut Link, limit: i64) -> Result<usize, LinkError> {
    let freed: Vec<(Uuid, String, String, String)> = link
        .load(Statement::<T, (SqlUuid, Text, Text, Text)>::new().bind::<BigInt, _>(limit).bind::<Text, _>(LAPSED))
        .await?;
    let count = freed.len();
    for (id, queue, kind, status) in freed {
        let given_up = status == "given_up";
        if given_up {
            tracing::error!(job = %id, kind, "gave a job up: its worker died or was stopped each time");
        } else {
            tracing::warn!(job = %id, kind, "freed a job whose lease ran out; it will run alone");
        }
        metrics::lease_ran_out(queue, kind, given_up);
    }
    Ok(count)
}

const LAPSED: &str = "its lease ran out: the worker died, was stopped, or lost the database while the job ran";

struct ExtendLeases;

/// Returns the claims that are no longer valid. Locked rows don't count as lost and aren't waited for.
impl statement::Text for ExtendLeases {
    const SQL: &'static str = concat!(
        "WITH clock AS MATERIALIZED (SELECT job_clock() AS now),
        mine AS MATERIALIZED (SELECT * FROM unnest(?, ?) AS mine (id, attempt)),
        held AS MATERIALIZED (SELECT held.id FROM mine ",
        lock_claims!("mine"),
        "),
        extended AS (
            UPDATE jobs SET lease_expires_at =
                least(now + make_interval(secs => ?), jobs.started_at + jobs.timeout + make_interval(secs => ?))
            FROM clock WHERE jobs.id = ANY (ARRAY (SELECT id FROM held))
        )
        SELECT mine.id, mine.attempt FROM mine
        LEFT JOIN LATERAL (
            SELECT true AS holds FROM jobs
            WHERE jobs.id = mine.id AND jobs.attempt = mine.attempt AND jobs.status = 'running' LIMIT 1
        ) AS claim ON true
        WHERE holds IS NULL"
    );
}

/// An attempt counts only if the job ran alone, because only then is it certain that this job ended its process.
macro_rules! free_lapsed {
    ($which:literal) => {
        concat!(
            "WITH clock AS MATERIALIZED (SELECT job_clock() AS now),
            lapsed AS MATERIALIZED (
                SELECT id, alone AND attempt - uncounted_attempts >= max_attempts AS hopeless FROM jobs
                WHERE lease_expires_at < (SELECT now FROM clock) AND ",
            $which,
            " LIMIT ? FOR UPDATE SKIP LOCKED
            )
            UPDATE jobs SET
                status = CASE WHEN hopeless THEN 'given_up' ELSE 'waiting' END,
                run_at = now,
                last_error = ?,
                uncounted_attempts = uncounted_attempts + (NOT alone)::integer,
                alone = true,
                worker = CASE WHEN hopeless THEN worker END,
                finished_at = CASE WHEN hopeless THEN now END,
                lease_expires_at = NULL,
                unique_key = ",
            unique_key_when_waiting!(),
            " FROM lapsed, clock WHERE jobs.id = lapsed.id AND jobs.id = ANY (ARRAY (SELECT id FROM lapsed))
            RETURNING jobs.id, queue, kind, status"
        )
    };
}

struct FreeLapsed;

impl statement::Text for FreeLapsed {
    const SQL: &'static str = free_lapsed!("unique_key IS NULL");
}

struct FreeLapsedUnique;

impl statement::Text for FreeLapsedUnique {
    const SQL: &'static str = free_lapsed!("unique_key IS NOT NULL");
}
