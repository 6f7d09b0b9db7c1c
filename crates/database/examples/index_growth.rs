//! What the size of the index costs a C-STORE: `cargo run --release -p dokuei-database --example index_growth`.
//!
//! Two nodes, whose indexes are filled by `Database::bench_seed`, are measured in turns. A table goes to standard error, one JSON line to
//! standard output; the exit status is 1 when the 99th percentile with the large index is more than 1.2 times that with the small one.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use dokuei_database::Database;
use dokuei_domain::FacilityId;
use dokuei_testkit::soak::{
    self, NodeOptions, Totals,
    growth::{self, GrowthOptions},
    node::FACILITY,
};

/// Time of a C-STORE with a small and with a large index
#[derive(Parser, Debug)]
struct Cli {
    /// The node's program
    #[arg(long, default_value = "target/release/dokuei")]
    binary: PathBuf,
    /// sqlite or postgres, of which two servers are started
    #[arg(long, default_value = "sqlite")]
    database: soak::Database,
    /// Where the nodes' folders are made; a disk, not memory
    #[arg(long)]
    work: Option<PathBuf>,
    /// Folder in which the figures of all starts add up
    #[arg(long)]
    totals: Option<PathBuf>,
    /// Instances in the small index
    #[arg(long, default_value_t = GrowthOptions::default().small)]
    small: u32,
    /// Instances in the large index
    #[arg(long, default_value_t = GrowthOptions::default().large)]
    large: u32,
    #[arg(long, default_value_t = GrowthOptions::default().rounds)]
    rounds: usize,
    /// What each node is sent in each round
    #[arg(long, default_value_t = GrowthOptions::default().objects)]
    objects: usize,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are what this program is for")]
fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let name = match &cli.database {
        soak::Database::Sqlite => "index-growth-sqlite",
        _ => "index-growth-postgres",
    };
    let node = NodeOptions { database: cli.database, work: cli.work, ..NodeOptions::new(cli.binary) };
    let options = GrowthOptions { small: cli.small, large: cli.large, rounds: cli.rounds, objects: cli.objects };
    let report = growth::run(options, &node, seed)?;
    eprint!("{}", report.table());
    println!("{}", report.json());
    if let Some(folder) = cli.totals {
        Totals::open(&folder, name)?.add(&report)?;
    }
    Ok(if report.broken().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn seed(url: &str, instances: u32) -> anyhow::Result<()> {
    let facility = FacilityId::parse(FACILITY).context("the facility's name")?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let database = Database::open(url).await?;
        database.bench_seed(&facility, instances).await?;
        database.close().await;
        Ok(())
    })
}
