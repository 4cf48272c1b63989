//! Jobs for later, and hosts whose clock is wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use apalis_diesel::admin::JobStatus;
use apalis_diesel::{enqueue_all_at, enqueue_at};
use chrono::{TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::process::{Event, Process, Script, Step};
use super::scene::Scene;

/// The library that gives a process another clock.
fn libfaketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    folders
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .expect("libfaketime is not installed: `make faketime`, or `apt-get install libfaketime`")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_forward_on_one_host_concerns_nobody() {
    const AN_HOUR: TimeDelta = TimeDelta::hours(1);
    let scene = Scene::new().await;
    let start = Utc::now();
    // Held by the host whose clock is right; its lease is extended all the while.
    let mut settings = scene.settings("right");
    settings.concurrency = 1;
    let right = Process::start(&settings, &[]);
    let [long] = scene.enqueue_scripts(&[Script::new([Step::Gate, Step::Commit])]).await.try_into().unwrap();
    scene.until_noted(Event::Began, long, 1).await;

    let offset = scene.folder().join("offset");
    set_clock(&offset, "+0");
    let environment = [
        ("LD_PRELOAD", libfaketime().to_str().unwrap().to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap().to_owned()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        // A clock that is set moves no monotonic time.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let wrong =
        Process::start(&scene.settings("wrong"), &environment.each_ref().map(|(name, value)| (*name, value.as_str())));
    let script = Script::new([Step::FailOnce, Step::Enqueue, Step::Commit]);
    let [before] = scene.enqueue_scripts(std::slice::from_ref(&script)).await.try_into().unwrap();
    scene.until_status(before, JobStatus::Done).await;
    set_clock(&offset, "+1h");

    let connection = &mut scene.connection().await;
    let in_two_seconds = Utc::now() + TimeDelta::seconds(2);
    let soon = enqueue_all_at(connection, &vec![Script::new([Step::Complete]); 3], in_two_seconds).await.unwrap();
    let soon: Vec<Uuid> = soon.into_iter().flatten().collect();
    let later = enqueue_at(connection, &Script::new([Step::Commit]), Utc::now() + AN_HOUR / 2).await.unwrap().unwrap();
    let after = scene.enqueue_scripts(&vec![script; 20]).await;
    for id in after.iter().chain(&soon) {
        scene.until_status(*id, JobStatus::Done).await;
    }
    // What they enqueued.
    scene.until_number("SELECT count(*) AS value FROM jobs WHERE finished_at IS NULL", 2).await;
    let end = Utc::now();
    let job = scene.job(later).await;
    assert_eq!((job.status, job.attempt), (JobStatus::Waiting, 0), "not for half an hour");
    let job = scene.job(long).await;
    assert_eq!((job.status, job.attempt), (JobStatus::Running, 1), "its lease is good");
    scene.open_gate(long, 1);
    scene.until_status(long, JobStatus::Done).await;
    right.shut_down().await;
    wrong.shut_down().await;

    let record = scene.record().await;
    for job in &record.jobs {
        if job.id == later {
            continue;
        }
        assert_eq!((job.status, job.uncounted_attempts), (JobStatus::Done, 0), "{job:?}");
        let (started, finished) = (job.started_at.unwrap(), job.finished_at.unwrap());
        assert!(start <= job.created_at && job.created_at <= end, "{job:?}");
        assert!(job.scheduled_at <= job.run_at && job.run_at <= started && started <= finished, "{job:?}");
        assert!(job.id == long || finished <= end, "{job:?}");
    }
    let host_clock = |id, attempt| record.runs[&(id, attempt)].effects[0];
    assert!((host_clock(before, 2) - end).abs() < AN_HOUR / 2);
    for id in after {
        assert!(host_clock(id, 2) - end > AN_HOUR / 2, "the clock wasn't set forward");
    }
    for id in soon {
        assert!(host_clock(id, 1) - end > AN_HOUR / 2, "not on the host whose clock is wrong");
    }
}

/// As the host's clock is set: at one moment, while its processes run.
fn set_clock(file: &Path, offset: &str) {
    let new = file.with_extension("new");
    fs::write(&new, format!("{offset}\n")).unwrap();
    fs::rename(new, file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_jobs_start_on_time_without_polling() {
    const JOBS: usize = 30;
    let scene = Scene::new().await;
    let mut settings = scene.settings("sleeper");
    settings.look = Duration::from_secs(3_600);
    let worker = Process::start(&settings, &[]);
    let wake = scene.wake();
    // Once this is done, there is nothing that the worker could be waiting for but a wake-up.
    let first = scene.enqueue(&Script::new([Step::Complete])).await.unwrap();
    wake.wake();
    scene.until_status(first, JobStatus::Done).await;
    let mut random = StdRng::seed_from_u64(1);
    let connection = &mut scene.connection().await;
    for _ in 0..JOBS {
        let run_at = Utc::now() + TimeDelta::milliseconds(random.random_range(100..3_000));
        enqueue_at(connection, &Script::new([Step::Complete]), run_at).await.unwrap();
        wake.wake();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..20))).await;
    }
    scene.until_all_finished().await;
    worker.shut_down().await;

    let record = scene.record().await;
    record.assert_done_once(|_| false);
    let mut delays: Vec<TimeDelta> =
        record.jobs.iter().filter(|job| job.id != first).map(|job| job.started_at.unwrap() - job.run_at).collect();
    delays.sort_unstable();
    assert!(delays[0] >= TimeDelta::zero(), "started early: {delays:?}");
    assert!(delays[JOBS / 2] <= TimeDelta::milliseconds(100), "started late: {delays:?}");
    assert!(delays[JOBS - 1] <= TimeDelta::seconds(2), "some started late: {delays:?}");
}
