//! Settings: the environment, or the same names in rollcall.toml.

use std::process::Command;

/// What `rollcall serve` says when it refuses to start in a folder with this rollcall.toml.
fn refusal(toml: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("settings-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("rollcall.toml"), toml).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_rollcall")).arg("serve").env_clear().current_dir(&folder).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn without_a_database_it_says_what_to_set() {
    assert!(refusal("").contains("set DATABASE_URL, or ROLLCALL_DATA_DIR"));
}

#[test]
fn the_file_takes_the_names_of_the_environment() {
    let refusal = refusal("DATABASE_URL = \"postgres://nobody@127.0.0.1:1/none\"\n");
    assert!(refusal.contains("ROLLCALL_SECRET is required with DATABASE_URL"), "{refusal}");
}

#[test]
fn a_setting_that_does_not_exist_is_refused() {
    let refusal = refusal("ROLLCALL_SMPT_URL = \"smtp://127.0.0.1\"\n");
    assert!(refusal.contains("there is no setting ROLLCALL_SMPT_URL"), "{refusal}");
}

#[test]
fn a_proxy_that_is_no_address_is_refused() {
    for wrong in ["proxy.example", "10.0.0.0/33", "10.0.0.1 10.0.0.2", "10.0.0.1,nobody"] {
        let refusal = refusal(&format!("ROLLCALL_TRUSTED_PROXIES = \"{wrong}\"\n"));
        assert!(refusal.contains("ROLLCALL_TRUSTED_PROXIES: ") && refusal.contains("10.0.0.0/8"), "{refusal}");
    }
}

#[test]
fn an_origin_that_is_none_is_refused() {
    for (wrong, right) in [
        ("https://app.example.org/", "write https://app.example.org"),
        ("https://app.example.org/app", "write https://app.example.org"),
        ("https://app.example.org?x", "write https://app.example.org"),
        ("https://user@app.example.org", "write https://app.example.org"),
        ("*", "has a wildcard"),
        ("https://*.example.org", "has a wildcard"),
        ("https://good.example, null", "such as https://app.example.org"),
        ("app.example.org", "such as https://app.example.org"),
        ("localhost:5173", "such as https://app.example.org or http://localhost:5173"),
        ("file:///tmp", "is neither http:// nor https://"),
        ("https://", "such as https://app.example.org"),
    ] {
        let refusal = refusal(&format!("ROLLCALL_ALLOWED_ORIGINS = \"{wrong}\"\n"));
        assert!(refusal.contains("ROLLCALL_ALLOWED_ORIGINS: ") && refusal.contains(right), "{wrong}: {refusal}");
        assert_eq!(refusal.trim().lines().count(), 1, "{refusal}");
    }
}

#[test]
fn a_support_address_that_is_none_is_refused() {
    for wrong in ["support", "Support <support@example.org>", "a@b@c"] {
        let refusal = refusal(&format!("ROLLCALL_SUPPORT_EMAIL = \"{wrong}\"\n"));
        assert!(refusal.contains("ROLLCALL_SUPPORT_EMAIL: ") && refusal.contains("support@example.org"), "{refusal}");
    }
}
