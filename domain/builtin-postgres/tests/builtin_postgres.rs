//! The built-in PostgreSQL with real processes: users that come, go and are killed, servers that are killed, folders
//! that can't be used. Other processes are this test binary again, running `use_until_told`.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "builtin_postgres/support.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::thread;

use rollcall_builtin_postgres::{BuiltinPostgres, BuiltinPostgresError, Options};
use support::{Folder, NOBODY, Stranger, User, execute, is_root, join, query, signal, speak_as_child};

const COUNT: &str = "SELECT count(*) FROM kept";

/// Not a test by itself: see [`User`].
#[test]
#[ignore = "the other tests run it in a process of its own"]
fn use_until_told() {
    speak_as_child();
}

#[test]
fn starts_stops_and_keeps_what_was_written() {
    let folder = Folder::new();
    let postgres = join(&folder);
    assert_eq!(query(&postgres.url("rollcall"), "SELECT current_database() || current_user"), "rollcallrollcall");
    assert_eq!(query(&postgres.url("rollcall"), "SELECT current_setting('server_encoding')"), "UTF8");
    assert_eq!(query(&postgres.url("rollcall"), "SELECT current_setting('max_connections')"), "200");
    execute(&postgres.url("rollcall"), "CREATE DATABASE \"a name / with signs\"");
    let other = postgres.url("a name / with signs");
    assert_eq!(query(&other, "SELECT current_database()"), "a name / with signs");
    execute(&postgres.url("rollcall"), "CREATE TABLE kept (id integer)");
    postgres.leave().unwrap();
    assert_eq!(folder.server(), None);

    let postgres = join(&folder);
    assert_eq!(query(&postgres.url("rollcall"), COUNT), "0");
    drop(postgres);
    assert_eq!(folder.server(), None);
}

#[test]
fn fsync_is_as_asked_for() {
    let folder = Folder::new();
    let durability = "SELECT concat_ws(' ', current_setting('fsync'), current_setting('synchronous_commit'), \
                      current_setting('full_page_writes'))";
    let postgres = BuiltinPostgres::start(&folder.path, Options { fsync: false }).unwrap();
    assert_eq!(query(&postgres.url("rollcall"), durability), "off off off");
    postgres.leave().unwrap();
    let postgres = BuiltinPostgres::start(&folder.path, Options::default()).unwrap();
    assert_eq!(query(&postgres.url("rollcall"), durability), "on on on");
}

#[test]
fn only_the_users_own_processes_can_connect() {
    let folder = Folder::new();
    let postgres = join(&folder);
    assert_eq!(query(&postgres.url("rollcall"), "SELECT current_setting('listen_addresses')"), "");
    for private in ["postgres", "postgres/cluster"] {
        assert_eq!(fs::metadata(folder.path.join(private)).unwrap().mode() & 0o777, 0o700, "{private}");
    }
}

#[test]
fn uses_in_one_process_are_counted_one_by_one() {
    let folder = Folder::new();
    let first = join(&folder);
    let second = join(&folder);
    first.leave().unwrap();
    assert_eq!(query(&second.url("rollcall"), "SELECT 'here'"), "here");
    second.leave().unwrap();
    assert_eq!(folder.server(), None);
}

#[test]
fn the_last_process_out_stops_it() {
    let folder = Folder::new();
    let api = User::start(&folder);
    let worker = User::start(&folder);
    assert_eq!(api.url, worker.url);
    let server = folder.server();
    api.leave();
    assert_eq!(folder.server(), server);
    assert_eq!(query(&worker.url, "SELECT 'here'"), "here");
    worker.leave();
    assert_eq!(folder.server(), None);
}

#[test]
fn processes_that_start_and_leave_at_once_share_one() {
    let folder = Folder::new();
    let starting: Vec<_> = (0..4).map(|_| User::spawn(&folder)).collect();
    let users: Vec<_> = starting.into_iter().map(|user| user.ready().unwrap()).collect();
    for user in &users {
        assert_eq!(query(&user.url, "SELECT 'here'"), "here");
    }
    let leaving: Vec<_> = users.into_iter().map(|user| thread::spawn(move || user.leave())).collect();
    leaving.into_iter().for_each(|user| user.join().unwrap());
    assert_eq!(folder.server(), None);
    let log = folder.log();
    assert_eq!(log.matches("starting PostgreSQL").count(), 1, "{log}");
    assert_eq!(log.matches("database system is shut down").count(), 1, "{log}");
}

#[test]
fn whoever_joins_while_others_leave_finds_it_running() {
    let folder = Folder::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let postgres = join(&folder);
                    assert_eq!(query(&postgres.url("rollcall"), "SELECT 'here'"), "here");
                    postgres.leave().unwrap();
                }
            });
        }
    });
    assert_eq!(folder.server(), None);
}

#[test]
fn outlives_a_killed_user_and_is_taken_over() {
    let folder = Folder::new();
    // As Ctrl-C in a terminal does, SIGINT goes to the whole process group.
    for (kind, target) in [("KILL", "process"), ("INT", "group")] {
        let mut user = User::start(&folder);
        let server = folder.server();
        let pid = user.process.id();
        signal(kind, &if target == "group" { format!("-{pid}") } else { pid.to_string() });
        assert!(!user.process.wait().unwrap().success());
        // The end of its output comes only when nobody holds the other side of the pipe any more.
        let rest: Vec<_> = BufReader::new(&mut user.output).lines().collect::<Result<_, _>>().unwrap();
        assert!(!rest.iter().any(|line| line == "LEFT"), "{rest:?}");

        let postgres = join(&folder);
        assert!(server.is_some());
        assert_eq!(folder.server(), server, "{kind}");
        assert_eq!(query(&postgres.url("rollcall"), "SELECT 'here'"), "here");
        postgres.leave().unwrap();
        assert_eq!(folder.server(), None);
    }
}

#[test]
fn recovers_when_user_and_server_are_killed() {
    let folder = Folder::new();
    let user = User::start(&folder);
    execute(&user.url, "CREATE TABLE kept AS SELECT 1 AS id");
    user.kill();
    folder.kill_server_and_children();
    let postgres = join(&folder);
    assert_eq!(query(&postgres.url("rollcall"), COUNT), "1");
    postgres.leave().unwrap();
    assert_eq!(folder.server(), None);
}

#[test]
fn whoever_joins_starts_a_server_that_died_under_others() {
    let folder = Folder::new();
    let user = User::start(&folder);
    execute(&user.url, "CREATE TABLE kept AS SELECT 1 AS id");
    // Alone: its children notice a little later, and hold its memory until then.
    signal("KILL", &folder.server().unwrap().to_string());
    let postgres = join(&folder);
    assert_eq!(query(&user.url, COUNT), "1");
    user.leave();
    assert_eq!(query(&postgres.url("rollcall"), COUNT), "1");
    postgres.leave().unwrap();
    assert_eq!(folder.server(), None);
}

#[test]
fn a_stranger_with_the_dead_servers_number_is_left_alone() {
    let folder = Folder::new();
    let user = User::start(&folder);
    execute(&user.url, "CREATE TABLE kept AS SELECT 1 AS id");
    user.kill();
    folder.kill_server_and_children();
    let mut stranger = Stranger::with_the_owner_of(&folder.path.join("postgres"));
    for name in ["cluster/postmaster.pid", ".s.PGSQL.5432.lock"] {
        let path = folder.path.join("postgres").join(name);
        let text = fs::read_to_string(&path).unwrap();
        let (_, rest) = text.split_once('\n').unwrap();
        fs::write(&path, format!("{}\n{rest}", stranger.0.id())).unwrap();
    }
    let postgres = join(&folder);
    assert_eq!(query(&postgres.url("rollcall"), COUNT), "1");
    postgres.leave().unwrap();
    assert_eq!(folder.server(), None);
    assert_eq!(stranger.0.try_wait().unwrap(), None);
}

#[test]
fn what_a_killed_initdb_left_is_cleared_away() {
    let folder = Folder::new();
    drop(join(&folder));
    let home = folder.path.join("postgres");
    fs::rename(home.join("cluster"), home.join("cluster.new-1")).unwrap();
    fs::remove_file(home.join("cluster.new-1/global/pg_control")).unwrap();
    let postgres = join(&folder);
    assert_eq!(query(&postgres.url("rollcall"), "SELECT 'here'"), "here");
    assert!(!home.join("cluster.new-1").exists());
}

#[test]
fn long_and_strange_folders_work() {
    let folder = Folder::new();
    for name in ["it's a \"$HOME\", 100% `id` \\n %2F ü".to_owned(), "long".repeat(30)] {
        let postgres = BuiltinPostgres::start(&folder.path.join(&name), Options { fsync: false }).unwrap();
        assert_eq!(query(&postgres.url("rollcall"), "SELECT 'here'"), "here");
        let sockets = support::sockets(&postgres.url("rollcall"));
        assert!(sockets.starts_with("/tmp"), "{}", sockets.display());
        assert_eq!(fs::metadata(&sockets).unwrap().mode() & 0o777, 0o700);
        postgres.leave().unwrap();
        assert!(!sockets.exists());
    }
}

#[test]
fn a_server_that_does_not_start_is_shown_with_its_log() {
    let folder = Folder::new();
    drop(join(&folder));
    let settings = folder.path.join("postgres/cluster/postgresql.conf");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text + "no_such_setting = 1\n").unwrap();
    let error = BuiltinPostgres::start(&folder.path, Options { fsync: false }).unwrap_err();
    assert!(matches!(error, BuiltinPostgresError::DidNotStart { .. }), "{error:?}");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[test]
fn data_of_another_version_is_not_touched() {
    let folder = Folder::new();
    drop(join(&folder));
    fs::write(folder.path.join("postgres/cluster/PG_VERSION"), "8\n").unwrap();
    let error = BuiltinPostgres::start(&folder.path, Options { fsync: false }).unwrap_err();
    assert!(matches!(error, BuiltinPostgresError::OtherVersion { .. }), "{error:?}");
    assert!(error.to_string().contains("apt-get install postgresql-8"), "{error}");
}

#[test]
fn folders_that_are_none_say_so() {
    let folder = Folder::new();
    let file = folder.path.join("file");
    fs::write(&file, "").unwrap();
    let error = BuiltinPostgres::start(&file, Options::default()).unwrap_err().to_string();
    assert!(error.contains("/file") && error.contains("ROLLCALL_DATA_DIR"), "{error}");

    fs::write(folder.path.join("postgres"), "").unwrap();
    let error = BuiltinPostgres::start(&folder.path, Options::default()).unwrap_err().to_string();
    assert!(error.contains("it isn't a folder") && error.contains("ROLLCALL_DATA_DIR"), "{error}");
}

#[test]
fn a_folder_without_permission_says_so() {
    let folder = Folder::new();
    fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o555)).unwrap();
    let error = if is_root() {
        User::spawn_as(&folder, NOBODY).ready().unwrap_err()
    } else {
        BuiltinPostgres::start(&folder.path, Options::default()).unwrap_err().to_string()
    };
    assert!(error.contains("can't create") && error.contains("ROLLCALL_DATA_DIR"), "{error}");
    fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Where the tests don't run as root, all of them are this one.
#[test]
fn a_normal_user_has_one_too_and_root_joins_it() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    chown(&folder.path, Some(NOBODY), Some(NOBODY)).unwrap();
    let user = User::spawn_as(&folder, NOBODY).ready().unwrap();
    assert_eq!(fs::metadata(folder.path.join("postgres/cluster")).unwrap().uid(), NOBODY);
    let server = folder.server();
    let root = join(&folder);
    user.leave();
    assert_eq!(folder.server(), server);
    assert_eq!(query(&root.url("rollcall"), "SELECT 'here'"), "here");
    let user = User::spawn_as(&folder, NOBODY).ready().unwrap();
    root.leave().unwrap();
    assert_eq!(query(&user.url, "SELECT 'here'"), "here");
    user.leave();
    assert_eq!(folder.server(), None);
}

#[test]
fn another_users_cluster_is_refused() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    drop(join(&folder));
    let error = User::spawn_as(&folder, NOBODY).ready().unwrap_err();
    // Where root falls back to nobody, it is nobody's own.
    if fs::metadata(folder.path.join("postgres")).unwrap().uid() != NOBODY {
        assert!(error.contains("belongs to the user"), "{error}");
    }
}

#[test]
fn root_keeps_unreachable_data_elsewhere() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o700)).unwrap();
    let postgres = join(&folder);
    execute(&postgres.url("rollcall"), "CREATE TABLE kept (id integer)");
    let elsewhere = support::sockets(&postgres.url("rollcall"));
    assert_eq!(elsewhere.parent(), Some(Path::new("/var/lib/rollcall")));
    postgres.leave().unwrap();

    // Once it is there, it stays there.
    fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o755)).unwrap();
    let postgres = join(&folder);
    assert_eq!(query(&postgres.url("rollcall"), COUNT), "0");
    postgres.leave().unwrap();
    fs::remove_dir_all(&elsewhere).unwrap();
    // Only if nothing else is there.
    let _ = fs::remove_dir("/var/lib/rollcall");
}

#[test]
fn root_owned_data_says_whom_to_give_it_to() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    fs::create_dir_all(folder.path.join("postgres/cluster")).unwrap();
    let error = BuiltinPostgres::start(&folder.path, Options::default()).unwrap_err().to_string();
    assert!(error.contains("refuses to run as root: `chown -R"), "{error}");
}
