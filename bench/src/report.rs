//! The report of a run: JSON, a Markdown table and an SVG chart.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use crate::measure::{Figures, median};

/// The name of Rollcall's own rows.
pub const ROLLCALL: &str = "Rollcall";

/// All rounds of a scenario.
#[derive(Serialize)]
pub struct ScenarioResult {
    /// The name on the command line.
    pub name: String,
    /// The title in the report.
    pub title: String,
    /// The contenders, Rollcall first.
    pub contenders: Vec<ContenderResult>,
}

/// A contender's rounds in a scenario.
#[derive(Serialize)]
pub struct ContenderResult {
    /// The contender's name.
    pub name: String,
    /// A remark on how it was measured.
    pub note: Option<String>,
    /// The figures of each round; `None` for a round that failed.
    pub rounds: Vec<Option<Figures>>,
    /// The statements of a request, if they were recorded.
    pub statements: Vec<String>,
    /// The error of the last round that failed.
    pub failure: Option<String>,
}

impl ContenderResult {
    /// A result without rounds.
    pub fn new(name: &str, note: Option<String>) -> Self {
        Self { name: name.to_owned(), note, rounds: Vec::new(), statements: Vec::new(), failure: None }
    }
}

impl ContenderResult {
    /// The median of each figure over the rounds that didn't fail.
    fn median(&self) -> Option<Figures> {
        Figures::median(&self.rounds.iter().copied().flatten().collect::<Vec<_>>())
    }

    /// The remarks in parentheses after the name.
    fn remarks(&self) -> String {
        let failed = self.rounds.iter().filter(|round| round.is_none()).count();
        let failed = (failed > 0).then(|| format!("{failed} of {} rounds failed", self.rounds.len()));
        let remarks: Vec<String> = self.note.iter().cloned().chain(failed).collect();
        if remarks.is_empty() { String::new() } else { format!(" ({})", remarks.join("; ")) }
    }
}

impl ScenarioResult {
    /// Rollcall's rate divided by a contender's: the median over the rounds.
    fn ratio(&self, contender: &ContenderResult) -> Option<f64> {
        let own = self.contenders.iter().find(|other| other.name == ROLLCALL)?;
        let ratio = |(own, other): (&Option<Figures>, &Option<Figures>)| Some((*own)?.rate / (*other)?.rate);
        median(own.rounds.iter().zip(&contender.rounds).filter_map(ratio).collect())
    }
}

/// How long a server takes to start, and its memory when idle.
#[derive(Serialize)]
pub struct StartResult {
    /// The server's name.
    pub name: String,
    /// The median time from its start to its first answer, in milliseconds.
    pub first_answer_ms: f64,
    /// Its memory before the first load, in MB.
    pub idle_memory_mb: f64,
}

/// The results of a run.
pub struct Run {
    /// The date, by the database's clock.
    pub date: String,
    /// The versions, machine, settings and sizes.
    pub about: Value,
    /// The results of all scenarios.
    pub scenarios: Vec<ScenarioResult>,
    /// The servers' start times and idle memory.
    pub starts: Vec<StartResult>,
}

impl Run {
    /// Writes the three files and returns the path of the table.
    pub fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let scenarios: Vec<Value> = self.scenarios.iter().map(|scenario| {
            let contenders: Vec<Value> = scenario.contenders.iter().map(|contender| json!({
                "name": contender.name, "note": contender.note, "failure": contender.failure, "rounds": contender.rounds, "statements": contender.statements,
                "median": contender.median(), "rollcall_to_this": scenario.ratio(contender),
            })).collect();
            json!({ "name": scenario.name, "title": scenario.title, "contenders": contenders })
        }).collect();
        let all = json!({ "date": self.date, "about": self.about, "starts": self.starts, "scenarios": scenarios });
        let file = |extension| folder.join(format!("{}.{extension}", self.date));
        std::fs::write(file("json"), serde_json::to_string_pretty(&all)? + "\n")?;
        std::fs::write(file("svg"), self.chart())?;
        std::fs::write(file("md"), self.table())?;
        Ok(file("md"))
    }

    /// The figures as a Markdown table.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| scenario | who | per second | Rollcall ÷ this | p50 ms | p99 ms | CPU µs: server | database | server MB |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for scenario in &self.scenarios {
            for (position, contender) in scenario.contenders.iter().enumerate() {
                let title = if position == 0 { scenario.title.as_str() } else { "" };
                let note = contender.remarks();
                let row = match contender.median() {
                    Some(figures) => {
                        let ratio = if contender.name == ROLLCALL { None } else { scenario.ratio(contender) };
                        [
                            digits(Some(figures.rate)),
                            digits(ratio),
                            digits(figures.p50_ms),
                            digits(figures.p99_ms),
                            digits(figures.server_cpu_us),
                            digits(figures.database_cpu_us),
                            digits(figures.server_memory_mb),
                        ]
                        .join(" | ")
                    }
                    None => " | | | | | | ".to_owned(),
                };
                // Writing to a string can't fail.
                let _ = writeln!(table, "| {title} | {}{note} | {row} |", contender.name);
            }
        }
        if !self.starts.is_empty() {
            table.push_str("\n| server | start to first answer, ms | idle, MB |\n| --- | ---: | ---: |\n");
            for start in &self.starts {
                let (first, idle) = (digits(Some(start.first_answer_ms)), digits(Some(start.idle_memory_mb)));
                let _ = writeln!(table, "| {} | {first} | {idle} |", start.name);
            }
        }
        table
    }

    /// A chart of the requests per second. Each scenario has a scale of its own.
    fn chart(&self) -> String {
        const WIDTH: f64 = 900.0;
        const LEFT: f64 = 260.0;
        const LONGEST: f64 = 540.0;
        let mut body = String::new();
        let mut y = 48.0;
        for scenario in &self.scenarios {
            let rates: Vec<(&str, f64)> = scenario
                .contenders
                .iter()
                .filter_map(|contender| Some((contender.name.as_str(), contender.median()?.rate)))
                .collect();
            let most = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
            if most <= 0.0 {
                continue;
            }
            let _ = writeln!(body, "<text x=\"12\" y=\"{y}\" font-weight=\"bold\">{}</text>", escape(&scenario.title));
            y += 8.0;
            for (name, rate) in rates {
                let length = (rate / most * LONGEST).max(1.0);
                let color = if name == ROLLCALL { "#1f6feb" } else { "#9aa4b2" };
                let text = y + 13.0;
                let _ = writeln!(
                    body,
                    "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>\
                     <rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"16\" fill=\"{color}\"/>\
                     <text x=\"{:.1}\" y=\"{text}\">{}</text>",
                    LEFT - 8.0,
                    escape(name),
                    LEFT + length + 6.0,
                    digits(Some(rate)),
                );
                y += 20.0;
            }
            y += 22.0;
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{y}\" fill=\"white\"/>\n\
             <text x=\"12\" y=\"22\" font-size=\"14\">Requests a second, {}: medians; each scenario has a scale of its own</text>\n\
             {body}</svg>\n",
            escape(&self.date),
        )
    }
}

/// Formats a number with three significant digits, or all digits before the point, with thousands separators. Returns
/// an empty text if there is no number.
fn digits(value: Option<f64>) -> String {
    let Some(value) = value else { return String::new() };
    let decimals = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (position, digit) in whole.chars().enumerate() {
        if position > 0 && (whole.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match fraction {
        Some(fraction) => format!("{grouped}.{fraction}"),
        None => grouped,
    }
}

/// Escapes text for SVG and removes backticks, since SVG can't mark up code.
fn escape(text: &str) -> String {
    text.replace('`', "").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn figures_have_three_digits_that_count() {
        assert_eq!(digits(Some(1_234_567.8)), "1,234,568");
        assert_eq!(digits(Some(812.34)), "812");
        assert_eq!(digits(Some(12.345)), "12.3");
        assert_eq!(digits(Some(0.5)), "0.50");
        assert_eq!(digits(None), "");
    }
}
