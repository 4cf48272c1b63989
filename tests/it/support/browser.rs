//! Headless Chromium, driven by WebDriver.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;

use super::process::bound;
use super::{PATIENCE, json, until};

const DRIVER: &str = "/usr/bin/chromedriver";

/// A browser with a profile of its own; both end with the test.
pub struct Browser {
    pub page: Client,
    _driver: Driver,
}

/// Owned before anything can fail, so that it doesn't outlive its test.
struct Driver {
    process: Child,
    profile: PathBuf,
}

impl Browser {
    /// A browser that runs scripts, or one that doesn't.
    pub async fn start(javascript: bool) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        assert!(
            Path::new(DRIVER).exists() && Path::new("/usr/bin/chromium").exists(),
            "chromium and chromium-driver are missing: run `make test`, which installs them"
        );
        let name = format!("chromium_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let profile = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&profile).unwrap();
        // Free a moment ago: chromedriver takes no port 0 that it would tell.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = bound(Path::new(DRIVER))
            .arg(format!("--port={port}"))
            .env("HOME", &profile)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let driver = Driver { process, profile };
        let mut arguments: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("--user-data-dir={}", driver.profile.display()));
        let mut options = json!({ "args": arguments });
        if !javascript {
            options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
        }
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({ "performance": "ALL" }));
        until("chromedriver listens", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let url = format!("http://127.0.0.1:{port}");
        let page =
            tokio::time::timeout(PATIENCE, builder.connect(&url)).await.expect("Chromium does not start").unwrap();
        Self { page, _driver: driver }
    }

    pub async fn open(&self, url: &str) {
        self.page.goto(url).await.unwrap();
    }

    /// Waits for an element.
    pub async fn find(&self, css: &str) -> fantoccini::elements::Element {
        self.page
            .wait()
            .at_most(PATIENCE)
            .for_element(Locator::Css(css))
            .await
            .unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// The words on the page.
    pub async fn text(&self) -> String {
        self.find("body").await.text().await.unwrap()
    }

    /// Waits until the page shows a text.
    pub async fn shows(&self, text: &str) {
        let shown = async || {
            let body = self.page.find(Locator::Css("body")).await.ok()?;
            body.text().await.ok()?.to_lowercase().contains(&text.to_lowercase()).then_some(())
        };
        let start = std::time::Instant::now();
        while shown().await.is_none() {
            assert!(start.elapsed() < PATIENCE, "the page does not show {text:?} but: {}", self.text().await);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Ends it in order.
    pub async fn close(self) {
        let _ = self.page.clone().close().await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Chromium ends with its session, but not where the test failed in the middle of one.
        end_processes_of(&self.profile);
        // They write until they have ended.
        for _ in 0..100 {
            match std::fs::remove_dir_all(&self.profile) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    std::thread::sleep(std::time::Duration::from_millis(20))
                }
                _ => break,
            }
        }
    }
}

/// Ends what still runs on the profile.
fn end_processes_of(profile: &Path) {
    let wanted = format!("--user-data-dir={}", profile.display());
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let matches = line.split(|byte| *byte == 0).any(|argument| argument == wanted.as_bytes());
        if let Some(process) =
            entry.file_name().to_str().filter(|name| matches && name.bytes().all(|byte| byte.is_ascii_digit()))
        {
            let _ = Command::new("sh").args(["-c", "kill -KILL $0", process]).status();
        }
    }
}
