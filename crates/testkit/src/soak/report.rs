//! What a run has seen: figures, broken promises, and the totals of several starts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

/// How a figure of one start joins those of earlier starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Joining {
    /// Counts add up.
    Sum,
    /// The worst is kept.
    Most,
    /// The latest is kept.
    Latest,
}

#[derive(Clone, PartialEq, Debug)]
struct Figure {
    name: &'static str,
    value: f64,
    joining: Joining,
}

/// The result of one run. Figures carry their unit in the name (`rss_peak_mib`).
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    pub soak: &'static str,
    figures: Vec<Figure>,
    broken: Vec<String>,
}

impl Report {
    pub fn new(soak: &'static str) -> Self {
        Self { soak, figures: Vec::new(), broken: Vec::new() }
    }

    /// A count, which adds up over several starts.
    pub fn sum(&mut self, name: &'static str, value: f64) -> &mut Self {
        self.put(name, value, Joining::Sum)
    }

    /// A figure of which the largest of all starts counts.
    pub fn most(&mut self, name: &'static str, value: f64) -> &mut Self {
        self.put(name, value, Joining::Most)
    }

    /// A figure of this start alone.
    pub fn latest(&mut self, name: &'static str, value: f64) -> &mut Self {
        self.put(name, value, Joining::Latest)
    }

    /// Median and 99th percentile in milliseconds.
    pub fn latencies(&mut self, median: &'static str, worst: &'static str, measured: &[Duration]) -> &mut Self {
        self.latest(median, percentile_ms(measured, 50.0)).latest(worst, percentile_ms(measured, 99.0))
    }

    fn put(&mut self, name: &'static str, value: f64, joining: Joining) -> &mut Self {
        self.figures.push(Figure { name, value, joining });
        self
    }

    /// Notes `what` as broken unless it `holds`.
    pub fn promise(&mut self, holds: bool, what: impl Into<String>) -> &mut Self {
        if !holds {
            self.broken.push(what.into());
        }
        self
    }

    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// A figure by name; for tests.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    /// One line for programs.
    pub fn json(&self) -> Value {
        let figures: Map<_, _> =
            self.figures.iter().map(|figure| (figure.name.to_owned(), rounded(figure.value))).collect();
        json!({ "soak": self.soak, "figures": figures, "broken": self.broken })
    }

    /// Lines for people.
    pub fn table(&self) -> String {
        let mut out = format!("{}\n", self.soak);
        for figure in &self.figures {
            out.push_str(&format!("  {:<32} {:>14}\n", figure.name, rounded(figure.value).to_string()));
        }
        for broken in &self.broken {
            out.push_str(&format!("  BROKEN: {broken}\n"));
        }
        out
    }
}

/// The 1-based nearest-rank percentile; 0 of nothing.
pub fn percentile_ms(measured: &[Duration], percent: f64) -> f64 {
    let mut sorted = measured.to_vec();
    sorted.sort_unstable();
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |found| found.as_secs_f64() * 1000.0)
}

/// Whole numbers as such, others to three digits: a table is read.
fn rounded(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        json!(value as i64)
    } else {
        json!((value * 1000.0).round() / 1000.0)
    }
}

/// The figures of all starts of one run, in a file.
#[derive(Debug)]
pub struct Totals {
    file: PathBuf,
    values: Map<String, Value>,
}

impl Totals {
    /// Reads the totals of a run from a folder that is made if it is absent.
    pub fn open(folder: &Path, soak: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let file = folder.join(format!("{soak}.json"));
        let values = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("cannot read {}", file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        Ok(Self { file, values })
    }

    /// A total by the figure's name; 0 before the first start.
    pub fn get(&self, name: &str) -> f64 {
        self.values.get(name).and_then(Value::as_f64).unwrap_or_default()
    }

    /// Joins a report and writes the file, whole or not at all.
    pub fn add(&mut self, report: &Report) -> anyhow::Result<()> {
        for Figure { name, value, joining } in &report.figures {
            let joined = match joining {
                Joining::Sum => self.get(name) + value,
                Joining::Most => self.get(name).max(*value),
                Joining::Latest => *value,
            };
            self.values.insert((*name).to_owned(), rounded(joined));
        }
        self.values.insert("soak".to_owned(), json!(report.soak));
        self.values.insert("starts".to_owned(), rounded(self.get("starts") + 1.0));
        self.values
            .insert("promises_broken".to_owned(), rounded(self.get("promises_broken") + report.broken.len() as f64));
        let next = self.file.with_extension("new");
        std::fs::write(&next, serde_json::to_vec(&self.values)?)?;
        std::fs::rename(&next, &self.file).with_context(|| format!("cannot write {}", self.file.display()))
    }

    pub fn json(&self) -> Value {
        Value::Object(self.values.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_starts_add_up() {
        let folder = tempfile::tempdir().unwrap();
        for (kills, peak) in [(3.0, 80.5), (4.0, 70.0)] {
            let mut report = Report::new("kill");
            report.sum("kills", kills).most("rss_peak_mib", peak).latest("seconds", kills);
            report.promise(kills < 4.0, "fewer than four");
            Totals::open(folder.path(), "kill").unwrap().add(&report).unwrap();
        }

        let totals = Totals::open(folder.path(), "kill").unwrap();
        let expected = json!({
            "soak": "kill", "starts": 2, "kills": 7, "rss_peak_mib": 80.5, "seconds": 4, "promises_broken": 1
        });
        assert_eq!(totals.json(), expected);
        assert_eq!(Totals::open(folder.path(), "idle").unwrap().get("kills"), 0.0);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let measured: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!((percentile_ms(&measured, 50.0), percentile_ms(&measured, 99.0)), (100.0, 198.0));
        assert_eq!((percentile_ms(&measured[..1], 99.0), percentile_ms(&[], 99.0)), (200.0, 0.0));
    }
}
