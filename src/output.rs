//! What commands print: JSON for programs, tables and plain lines for people. The only place of the binary that writes to standard output.

use serde::Serialize;

/// How a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

#[expect(clippy::print_stdout, reason = "this is where commands print")]
impl Output {
    /// One line of JSON, or with `--json` absent what `text` gives.
    pub(crate) fn show<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(value)?);
        } else {
            println!("{}", text());
        }
        Ok(())
    }

    /// One line of JSON, whatever the mode.
    pub(crate) fn line<T: Serialize>(self, value: &T) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(value)?);
        Ok(())
    }

    /// Text as it is.
    pub(crate) fn text(self, text: &str) {
        println!("{text}");
    }

    /// Rows as a JSON array or a table; `empty` is said instead of an empty table.
    pub(crate) fn table<T: Serialize>(
        self,
        rows: &[T],
        header: &[&str],
        empty: &str,
        cells: impl Fn(&T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(rows)?);
            return Ok(());
        }
        if rows.is_empty() {
            println!("{empty}");
            return Ok(());
        }
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY).set_header(header.to_vec());
        for row in rows {
            table.add_row(cells(row));
        }
        println!("{table}");
        Ok(())
    }
}

/// A bar on standard error while it is a terminal, silence otherwise.
pub(crate) fn progress_bar(length: u64, what: &'static str) -> indicatif::ProgressBar {
    let style = indicatif::ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} {eta}")
        .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar());
    indicatif::ProgressBar::new(length).with_style(style).with_message(what)
}

/// An instant in local time for people.
pub(crate) fn local_time(at: dokuei_domain::Timestamp, zone: &jiff::tz::TimeZone) -> String {
    at.to_jiff().to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}
