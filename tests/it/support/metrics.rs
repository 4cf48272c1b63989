//! Metrics as Prometheus reads them: strictly, by its text format 0.0.4.

use std::collections::{BTreeMap, BTreeSet};

/// The metrics of a process whose log says where they are.
pub async fn scrape(log: &str) -> Metrics {
    let (_, rest) = log.split_once("metrics on http://").unwrap_or_else(|| panic!("no metrics:\n{log}"));
    let url = format!("http://{}", rest.split_whitespace().next().unwrap());
    let response = reqwest::get(url).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    Metrics::parse(&response.text().await.unwrap())
}

type Labels = BTreeMap<String, String>;

/// A scrape's samples, by name and labels.
pub struct Metrics(BTreeMap<(String, Labels), f64>);

impl Metrics {
    /// Fails on what Prometheus would refuse, and on a metric that doesn't say what it is.
    fn parse(text: &str) -> Self {
        let mut samples = BTreeMap::new();
        let mut described = BTreeSet::new();
        // The family that is being told of: its name and type.
        let mut family = (String::new(), String::new());
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').unwrap();
                assert!(!words.is_empty() && described.insert(name.to_owned()), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(described.contains(name), "{name} isn't described");
                family = (name.to_owned(), kind.to_owned());
            } else {
                let (name, labels, value) = sample(line).unwrap_or_else(|| panic!("no sample: {line}"));
                let suffixes: &[&str] = match family.1.as_str() {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                let (name, base) = (name.to_owned(), family.0.as_str());
                assert!(suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(base)), "{line} in {base}");
                assert!(family.1 != "counter" || name.ends_with("_total"), "{line}");
                assert!(samples.insert((name, labels), value).is_none(), "twice: {line}");
            }
        }
        Self(samples)
    }

    /// The sum of the samples of the name that have the labels; none where there is no sample.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has =
            |found: &Labels| labels.iter().all(|(name, value)| found.get(*name).is_some_and(|found| found == value));
        let values: Vec<f64> = self
            .0
            .iter()
            .filter(|((found, found_labels), _)| found == name && has(found_labels))
            .map(|(_, value)| *value)
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Like `find`, for samples that there are.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no {name}{labels:?}"))
    }
}

/// `name{label="value",…} 1.5`
fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (label, quoted) = inside.split_once("=\"")?;
            let mut value = String::new();
            let mut characters = quoted.chars();
            loop {
                match characters.next()? {
                    '"' => break,
                    '\\' => value.push(characters.next()?),
                    character => value.push(character),
                }
            }
            if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            match characters.next()? {
                ',' => inside = characters.as_str(),
                '}' => break rest = characters.as_str(),
                _ => return None,
            }
        }
    }
    Some((name, labels, rest.strip_prefix(' ')?.parse().ok()?)).filter(|(name, ..)| is_name(name))
}
