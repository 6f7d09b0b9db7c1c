//! Puts a node under load for long and says in figures how it took it: `cargo run --release -p dokuei-testkit --bin soak -- idle`.
//!
//! A table goes to standard error, one JSON line per run to standard output; the exit status is 1 when a promise was broken. With `--totals`
//! the figures of several starts add up in a folder.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use dokuei_testkit::soak::{
    Database, NodeOptions, Report, Totals,
    contexts::{self, ContextsOptions},
    idle::{self, IdleOptions},
    kill::{self, KillOptions},
    large::{self, LargeOptions},
    slow::{self, SlowOptions},
    study::{self, StudyOptions},
};

/// Load on a real node, in figures
#[derive(Parser, Debug)]
struct Cli {
    #[command(subcommand)]
    soak: Soak,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Common {
    /// The node's program
    #[arg(long, global = true, default_value = "target/release/dokuei")]
    binary: PathBuf,
    /// sqlite, postgres (a server of its own for the run) or the postgres:// URL of an empty database
    #[arg(long, global = true, default_value = "sqlite")]
    database: Database,
    /// Where the node's folder is made; a disk, not memory
    #[arg(long, global = true)]
    work: Option<PathBuf>,
    /// Folder in which the figures of all starts add up
    #[arg(long, global = true)]
    totals: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Soak {
    /// Associations that do nothing, beside a sender
    Idle {
        #[arg(long, default_value_t = IdleOptions::default().associations)]
        associations: u16,
        #[arg(long, default_value_t = IdleOptions::default().objects)]
        objects: usize,
    },
    /// Senders that trickle byte by byte, beside a good one
    Slow {
        /// Of each of three kinds
        #[arg(long, default_value_t = SlowOptions::default().senders)]
        senders: u16,
        #[arg(long, default_value_t = SlowOptions::default().objects)]
        objects: usize,
        #[arg(long, default_value_t = 50)]
        pause_ms: u64,
    },
    /// Associations with 128 contexts of 38 transfer syntaxes
    Contexts {
        #[arg(long, default_value_t = ContextsOptions::default().associations)]
        associations: usize,
    },
    /// One object of 2 MiB frames
    Large {
        #[arg(long, default_value_t = LargeOptions::default().frames)]
        frames: u16,
    },
    /// One study of very many instances
    Study {
        #[arg(long, default_value_t = StudyOptions::default().instances)]
        instances: usize,
        #[arg(long, default_value_t = StudyOptions::default().associations)]
        associations: u16,
        #[arg(long, default_value_t = StudyOptions::default().size)]
        size: u16,
    },
    /// kill -9 during parallel sends; with --totals only what is missing from earlier starts
    Kill {
        #[arg(long, default_value_t = 200)]
        kills: u32,
        /// Kills of one node; the next batch has a new one
        #[arg(long, default_value_t = KillOptions::default().kills)]
        batch: u32,
        #[arg(long, default_value_t = KillOptions::default().senders)]
        senders: u16,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let Cli { soak, common } = Cli::parse();
    let node = NodeOptions {
        binary: common.binary.clone(),
        database: common.database.clone(),
        work: common.work.clone(),
        settings: Vec::new(),
    };
    let whole = match soak {
        Soak::Idle { associations, objects } => {
            show(&common, &idle::run(node, IdleOptions { associations, objects })?)?
        }
        Soak::Slow { senders, objects, pause_ms } => {
            let pause = Duration::from_millis(pause_ms);
            show(&common, &slow::run(node, SlowOptions { senders, objects, pause })?)?
        }
        Soak::Contexts { associations } => show(&common, &contexts::run(node, ContextsOptions { associations })?)?,
        Soak::Large { frames } => show(&common, &large::run(node, LargeOptions { frames })?)?,
        Soak::Study { instances, associations, size } => {
            show(&common, &study::run(node, StudyOptions { instances, associations, size })?)?
        }
        Soak::Kill { kills, batch, senders } => kill_in_batches(&common, &node, kills, batch.max(1), senders)?,
    };
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn kill_in_batches(common: &Common, node: &NodeOptions, kills: u32, batch: u32, senders: u16) -> anyhow::Result<bool> {
    let done = match totals(common, "kill")? {
        Some(totals) => totals.get("kills") as u32,
        None => 0,
    };
    let (mut done, mut whole) = (done, true);
    while done < kills {
        let options =
            KillOptions { kills: batch.min(kills - done), senders, seed: u64::from(done), ..KillOptions::default() };
        whole &= show(common, &kill::run(node.clone(), options)?)?;
        done += options.kills;
    }
    Ok(whole)
}

fn totals(common: &Common, soak: &str) -> anyhow::Result<Option<Totals>> {
    let database = match &common.database {
        Database::Sqlite => "sqlite",
        _ => "postgres",
    };
    common.totals.as_ref().map(|folder| Totals::open(folder, &format!("{soak}-{database}"))).transpose()
}

/// Whether all promises were kept.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are what this program is for")]
fn show(common: &Common, report: &Report) -> anyhow::Result<bool> {
    eprint!("{}", report.table());
    println!("{}", report.json());
    if let Some(mut totals) = totals(common, report.soak)? {
        totals.add(report)?;
        eprintln!("  all starts: {}", totals.json());
    }
    Ok(report.broken().is_empty())
}
