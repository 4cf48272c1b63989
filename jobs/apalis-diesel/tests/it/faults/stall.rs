//! Processes that live and get nowhere.

use apalis_diesel::admin::JobStatus;
use diesel_async::SimpleAsyncConnection;
use tokio::time::Instant;

use super::process::{Event, Process, Script, Step};
use super::scene::{LEASE, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_threads_are_all_blocked_keeps_its_leases() {
    let scene = Scene::new().await;
    let settings = scene.settings("blocked");
    // As many as the process has threads, and more that it has claimed with them and can't get to.
    let blocking = Script::new([Step::BlockAtGate, Step::Commit]);
    let mut scripts = vec![blocking; settings.threads];
    scripts.resize(settings.concurrency, Script::new([Step::Commit]));
    let behind = scene.enqueue_scripts(&scripts).await;
    let blocked = Process::start(&settings, &[]);
    let (blocking, _) = behind.split_at(settings.threads);
    for job in blocking {
        scene.until_noted(Event::Began, *job, 1).await;
    }
    let begin = Instant::now();
    let other = scene.start("other");
    let free = scene.enqueue_scripts(&vec![Script::new([Step::Commit]); 200]).await;
    let unfinished =
        format!("SELECT count(*) AS value FROM jobs WHERE finished_at IS NULL AND ordinal > {}", behind.len());
    scene.until_number(&unfinished, 0).await;
    tokio::time::sleep_until(begin + LEASE * 2).await;
    for job in blocking {
        scene.open_gate(*job, 1);
    }
    scene.until_all_finished().await;
    blocked.shut_down().await;
    other.shut_down().await;

    let record = scene.record().await;
    assert_eq!(record.jobs.len(), behind.len() + free.len());
    record.assert_done_once(|_| false);
    assert_eq!(record.repeated(), 0);
    for job in behind {
        assert_eq!(record.runs[&(job, 1)].worker, "blocked");
    }
    for job in free {
        assert_eq!(record.runs[&(job, 1)].worker, "other", "the load wasn't skewed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_worker_commits_late_is_refused_unless_it_held_the_job() {
    let scene = Scene::new().await;
    let jobs = [Script::detached([Step::Gate, Step::Complete]), Script::new([Step::CompleteAtGate])];
    let [late, held] = scene.enqueue_scripts(&jobs).await.try_into().unwrap();
    let stopped = scene.start("stopped");
    scene.until_noted(Event::Began, late, 1).await;
    scene.until_noted(Event::Held, held, 1).await;
    stopped.stop().await;

    let other = scene.start("other");
    scene.until_noted(Event::Began, late, 2).await;
    let job = scene.job(held).await;
    assert_eq!((job.status, job.attempt), (JobStatus::Running, 1), "its lease has run out, and it is held");
    assert!(job.lease_expires_at < scene.job(late).await.started_at);
    // The job runs elsewhere, and this one comes back and commits.
    scene.open_gate(late, 1);
    scene.open_gate(held, 1);
    stopped.go_on().await;
    scene.until_noted(Event::Refused, late, 1).await;
    let job = scene.job(late).await;
    assert_eq!((job.status, job.attempt, job.worker.as_deref()), (JobStatus::Running, 2, Some("other")));
    scene.open_gate(late, 2);
    scene.until_all_finished().await;
    stopped.shut_down().await;
    other.shut_down().await;

    let record = scene.record().await;
    record.assert_done_once(|run| run.ending == Some(Event::Refused));
    assert_eq!(record.runs[&(late, 2)].worker, "other");
    assert_eq!(scene.job(held).await.attempt, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_worker_acknowledges_late_is_refused() {
    let scene = Scene::new().await;
    let [job] = scene.enqueue_scripts(&[Script::new([Step::Gate, Step::Commit])]).await.try_into().unwrap();
    let stopped = scene.start("stopped");
    scene.until_noted(Event::Began, job, 1).await;
    // The handler can commit, as that shares the row with us, and its acknowledgement can't be written.
    let mut connection = scene.connection().await;
    connection.batch_execute(&format!("BEGIN; SELECT FROM jobs WHERE id = '{job}' FOR SHARE")).await.unwrap();
    scene.open_gate(job, 1);
    scene.until_noted(Event::Succeeded, job, 1).await;
    stopped.stop().await;
    // One that is under way finds the row locked still.
    scene.until_number("SELECT count(*) AS value FROM jobs WHERE lease_expires_at < job_clock()", 1).await;
    connection.batch_execute("COMMIT").await.unwrap();

    let other = scene.start("other");
    scene.until_noted(Event::Began, job, 2).await;
    let taken_over = scene.job(job).await;
    stopped.go_on().await;
    // It ends once its acknowledgement has been settled.
    stopped.shut_down().await;
    let now = scene.job(job).await;
    assert_eq!(
        (now.status, now.attempt, now.worker, now.run_at),
        (JobStatus::Running, 2, taken_over.worker, taken_over.run_at)
    );
    scene.open_gate(job, 2);
    scene.until_all_finished().await;
    other.shut_down().await;

    let record = scene.record().await;
    record.assert_done_once(|run| run.worker == "stopped");
    // As `hold` alone declares: the handler had committed, and nobody knew.
    assert_eq!(record.runs[&(job, 1)].effects.len() + record.runs[&(job, 2)].effects.len(), 2);
}
