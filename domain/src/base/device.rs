//! Names of devices for people, derived from the User-Agent header.

/// The name of a device, such as `Safari on an iPhone`. It consists only of known names: a stranger who requests an
/// email to somebody else must not be able to put text into it.
pub fn name(user_agent: Option<&str>) -> String {
    let known = |names: &[(&str, &'static str)]| {
        let agent = user_agent.unwrap_or_default();
        names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
    };
    // The order matters. Browsers also include the names of browsers with the same engine, and nearly all of them
    // include Safari.
    let browser = known(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("OPT/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Vivaldi/", "Vivaldi"),
        ("YaBrowser/", "Yandex Browser"),
        ("UCBrowser/", "UC Browser"),
        ("DuckDuckGo/", "DuckDuckGo"),
        ("Ddg/", "DuckDuckGo"),
        ("Brave/", "Brave"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Focus/", "Firefox"),
        ("HeadlessChrome/", "Chrome"),
        ("Chromium/", "Chromium"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("GSA/", "the Google app"),
        ("Trident/", "Internet Explorer"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = known(&[
        ("Windows Phone", "a Windows phone"),
        ("Windows", "Windows"),
        ("iPhone", "an iPhone"),
        ("iPod", "an iPod"),
        ("iPad", "an iPad"),
        ("Android", "Android"),
        ("Mac OS X", "a Mac"),
        ("Macintosh", "a Mac"),
        ("CrOS", "ChromeOS"),
        ("FreeBSD", "FreeBSD"),
        ("OpenBSD", "OpenBSD"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) => one.to_owned(),
        (None, Some(system)) => format!("an app on {system}"),
        (None, None) => "an unknown device".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn browsers_are_told_by_the_name_that_is_theirs_alone() {
        const SAFARI: &str = "AppleWebKit/605.1.15 (KHTML, like Gecko)";
        const CHROME: &str = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0";
        let iphone = format!("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {SAFARI}");
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)";
        let windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)";
        let android = "Mozilla/5.0 (Linux; Android 14; K)";
        for (agent, expected) in [
            (format!("{iphone} Version/18.1 Mobile/15E148 Safari/604.1"), "Safari on an iPhone"),
            (format!("{iphone} CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1"), "Chrome on an iPhone"),
            (format!("{iphone} FxiOS/133.0 Mobile/15E148 Safari/605.1.15"), "Firefox on an iPhone"),
            (format!("{iphone} Version/18.0 EdgiOS/131.0 Mobile/15E148 Safari/604.1"), "Edge on an iPhone"),
            (format!("{iphone} Mobile/15E148"), "an app on an iPhone"),
            (
                format!("Mozilla/5.0 (iPad; CPU OS 16_7 like Mac OS X) {SAFARI} Version/16.6 Safari/604.1"),
                "Safari on an iPad",
            ),
            (format!("{mac} {SAFARI} Version/18.1 Safari/605.1.15"), "Safari on a Mac"),
            (format!("{mac} {CHROME} Safari/537.36"), "Chrome on a Mac"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0".to_owned(),
                "Firefox on Windows",
            ),
            (format!("{windows} {CHROME} Safari/537.36 Edg/131.0.0.0"), "Edge on Windows"),
            (format!("{windows} {CHROME} Safari/537.36 OPR/114.0.0.0"), "Opera on Windows"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko".to_owned(),
                "Internet Explorer on Windows",
            ),
            (format!("{android} {CHROME} Mobile Safari/537.36"), "Chrome on Android"),
            (
                format!(
                    "{android} AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/26.0 Chrome/122.0.0.0 Mobile Safari/537.36"
                ),
                "Samsung Internet on Android",
            ),
            ("Mozilla/5.0 (Android 14; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0".to_owned(), "Firefox on Android"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0".to_owned(), "Firefox on Linux"),
            (format!("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36"), "Chrome on ChromeOS"),
            ("curl/8.9.1".to_owned(), "curl"),
            ("<b>Visit evil.example</b>".to_owned(), "an unknown device"),
        ] {
            assert_eq!(name(Some(&agent)), expected, "{agent}");
        }
        assert_eq!(name(None), "an unknown device");
    }
}
